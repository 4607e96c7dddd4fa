"""The page of group factors: pictures, the table of factors, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segue.report import Section, provenance_section, quarantine_section, write_page, write_plots
from segue.report.group_plots import factor_heatmap, profile_plot, stability_plot, topics_plot
from segue.report.groups import (
    Factor,
    empty_section,
    factors_section,
    profile_section,
    stability_section,
)
from segue.targets.factors import FactorModel, GroupShares
from segue.workflows.groupfacts import profiles
from segue.workflows.groupjob import Job
from segue.workflows.groupstability import Compared
from segue.workflows.sourcetask import PAGE, versions

PLOTS = "plots"


def write_groups(
    job: Job,
    model: FactorModel,
    shares: GroupShares,
    factors: Sequence[Factor],
    compared: Compared | None,
    facts: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
) -> None:
    """Write ``report.html`` and ``plots/``.

    Raises
    ------
    StoreError
    """
    names = [name for name, known in zip(shares.names, shares.known, strict=True) if known]
    figures = [factor_heatmap(shares.shares[shares.known], names, group=job.group)]
    sections: list[Section] = [factors_section(factors, figures, facts["notes"], group=job.group)]
    heard = profiles(model, job.kind)
    if heard is not None:
        sections.append(profile_section(profile_plot(heard[0], heard[1], note=heard[2])))
    if compared is not None:
        own = compared.of(model.topics)
        pictures = [
            stability_plot(
                compared.similarity,
                dealt=own.dealt_similarity,
                chance=own.chance_similarity,
                idle=[one.idle for one in sorted(factors, key=lambda one: one.number)],
            ),
            topics_plot(compared.numbers, chosen=model.topics),
        ]
        sections.append(stability_section(pictures, compared.words(model.topics)))
    if shares.empty:
        sections.append(empty_section(shares.empty))
    if failures:
        sections.append(quarantine_section(failures))
    sections.append(
        provenance_section(
            {
                "settings": model.settings.to_json(),
                **{key: facts[key] for key in ("group", "taken", "from", "seconds")},
                **{key: facts[key] for key in ("frames", "encoder", "licence") if key in facts},
                "versions": versions(),
            }
        )
    )
    write_plots(job.out / PLOTS, sections)
    write_page(
        job.out / PAGE,
        title=f"Factors of groups by {job.group}",
        summary={"factors": finding(facts)},
        sections=sections,
    )


def finding(facts: Mapping[str, Any]) -> str:
    """The page in a sentence."""
    return (
        f"{facts['topics']} factors of {facts['groups'] - facts['empty_groups']} groups by "
        f"{facts['group']}, learned from {facts['words']} words ({facts['from']}) of "
        f"{facts['tracks']} tracks"
    )
