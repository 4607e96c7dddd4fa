"""What `segue audit` says: of released features, of our own, of clean sets and of planted leaks.

    python benchmarks/audit.py --out /tmp/features [--sets 200] [--power 20] [--jobs 2]

Released features are read from SEGUE_DATA/choi2017. Our own are read from OUT/DATASET, stores that
`segue embed` wrote, or embedded there first. Clean and leaky sets are simulated.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from scipy.stats import beta
from setting import RESULTS, where
from threadpoolctl import threadpool_limits

from segue.errors import StoreError
from segue.evaluation.audit.run import audit_features
from segue.evaluation.audit.simulated import Recipe, clean_recipes, simulate
from segue.workflows.auditing import audit
from segue.workflows.embedding import embed
from segue.workflows.tables import asked_table

LAYERS = tuple(f"layer_{number}" for number in range(5))
RELEASED = {
    "gtzan_genre": "label",
    "ballroom_extended": "label",
    "gtzan_speechmusic": "label",
    "emoMusic": "label_arousal",
}
OWN = {"gtzan100": "genre", "4q": "quadrant", "emotify": "genre"}
ENCODERS = ("mfcc", "melstats", "random-convnet", "choi2017-msd", "choi2017-4q", "descriptors")

BASE = {"clips": 800, "classes": 5}
LEAKS: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        f"batches of {size}, shift {shift}": (
            "batch order",
            {"batch_size": size, "batch_shift": shift},
        )
        for size in (16, 64, 256)
        for shift in (0.2, 0.4, 0.8)
    },
    **{
        f"mixed classes, batches of 64, shift {shift}": (
            "batch order",
            {"batch_size": 64, "batch_shift": shift, "order": "shuffled"},
        )
        for shift in (0.2, 0.4)
    },
    "batches of 256, levelled": (
        "batch order",
        {"batch_size": 256, "batch_level": 1.0, "classes": 10, "class_spread": 0.8},
    ),
    **{
        f"artists in all folds, spread {spread}": (
            "artist on both sides",
            {"split": "clips", "artist_spread": spread},
        )
        for spread in (0.3, 0.5, 0.8)
    },
    **{
        f"copies, {share:.0%}": ("duplicates", {"split": "clips", "duplicates": share})
        for share in (0.05, 0.1, 0.2)
    },
    **{
        f"format by class, {share:.0%}": ("file format", {"format_shift": share})
        for share in (0.1, 0.2, 0.4)
    },
    **{
        f"wrong labels, {share:.0%}": ("label noise", {"noise_labels": share})
        for share in (0.05, 0.1, 0.2)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="stores of our own features")
    parser.add_argument("--sets", type=int, default=200, help="clean sets")
    parser.add_argument("--power", type=int, default=20, help="sets with each leak")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--parts", default="real,clean,power", help="others are left as they are")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    data = os.environ.get("SEGUE_DATA")
    if not data:
        sys.exit("SEGUE_DATA must name the folder of real music")
    parts = given.parts.split(",")
    if "real" in parts:
        rows = [*released(Path(data)), *own(Path(data), given.out, given.jobs)]
        write(RESULTS / "audit.csv", rows)
    if "clean" in parts:
        write(RESULTS / "audit_clean.csv", simulated(clean_sets(given.sets), given.jobs))
    if "power" in parts:
        found = simulated(leaky_sets(given.power), given.jobs)
        write(RESULTS / "audit_power.csv", power_rows(found, given.power))
    real, clean, power = (read(RESULTS / f"audit{part}.csv") for part in ("", "_clean", "_power"))
    alarms = false_alarms(clean)
    (RESULTS / "audit.md").write_text(words(real, alarms, power))
    if given.json:
        said = {"false_alarms": alarms, "power": power, "real": real, "setting": where()}
        sys.stdout.write(json.dumps(said) + "\n")


def released(data: Path) -> Iterator[dict[str, Any]]:
    """Features that Choi et al. 2017 released, each layer, all layers, MFCC."""
    folder = data / "choi2017"
    for name, target in RELEASED.items():
        for features in (*((layer,) for layer in LAYERS), LAYERS, ("mfcc",)):
            paths = [folder / "data_feats" / f"{name}_{one}.npy" for one in features]
            labels = folder / "data_csv" / f"{name}.csv"
            shown = "all layers" if len(features) > 1 else features[0]
            yield row(name, shown, "released", audited(paths, labels, target))


def own(data: Path, stores: Path, jobs: int) -> Iterator[dict[str, Any]]:
    """Features of our encoders, whose statistics are frozen."""
    for name, target in OWN.items():
        manifest = data / name / "manifest.csv"
        for encoder in ENCODERS:
            if not stored(stores / name, encoder):
                embed(manifest, stores / name, encoder=encoder, workers=jobs)
            # levels and fingerprints do not depend on the encoder: files are opened once
            how = {"encoder": encoder, "workers": jobs, "listen": encoder == ENCODERS[0]}
            said = audited([stores / name], manifest, target, **how)
            yield row(name, encoder, "own", said)


def stored(store: Path, encoder: str) -> bool:
    """Whether a store has features of an encoder."""
    try:
        return bool(asked_table(store, encoder))
    except StoreError:
        return False


def audited(*args: Any, **settings: Any) -> dict[str, Any]:
    """An audit, and the seconds it took."""
    began = time.perf_counter()
    done = audit(*args, **settings).as_dict()
    return {**done, "seconds": time.perf_counter() - began}


def row(name: str, features: str, whose: str, done: Mapping[str, Any]) -> dict[str, Any]:
    """Verdict of every test; empty where a test was not run."""
    tests = {test["name"]: test for test in done["tests"]}
    order = tests.get("batch order", {})
    return {
        "data set": name,
        "features": features,
        "whose": whose,
        "clips": done["clips"],
        "verdict": done["verdict"],
        "jump": round(order.get("statistic", float("nan")), 2),
        "p of batch order": f"{order.get('p_value', float('nan')):.2g}",
        "recall lost": f"{tests['recall across batches']['statistic']:.2f}"
        if "recall across batches" in tests
        else "",
        **{f"{test}": tests[test]["verdict"] if test in tests else "" for test in COLUMNS},
        "seconds": round(done["seconds"], 1),
    }


COLUMNS = (
    "batch order",
    "recall across batches",
    "artist on both sides",
    "album on both sides",
    "duplicates",
    "label noise",
    "file format",
    "loudness and size",
)

Case = tuple[str, str, Recipe, int]


def clean_sets(count: int) -> list[Case]:
    """Sets without a leak: (name, test, recipe, seed)."""
    return [("clean", "", recipe, 7_000 + at) for at, recipe in enumerate(clean_recipes(count, 7))]


def leaky_sets(count: int) -> list[Case]:
    """Sets with one leak each."""
    return [
        (name, test, Recipe(**{**BASE, **leak}), 8_000 + at)
        for name, (test, leak) in LEAKS.items()
        for at in range(count)
    ]


def simulated(cases: Sequence[Case], jobs: int) -> list[dict[str, Any]]:
    """Verdicts of simulated sets."""
    all_found = []
    with ProcessPoolExecutor(jobs) as pool:
        for done, found in enumerate(pool.map(one_set, cases), 1):
            sys.stderr.write(f"\r{cases[0][0]}: {done} of {len(cases)} ")
            all_found.append(found)
    sys.stderr.write("\n")
    return all_found


def one_set(case: Case) -> dict[str, Any]:
    """Verdicts of one set."""
    name, _, recipe, seed = case
    with threadpool_limits(1):
        result = audit_features(simulate(recipe, seed), seed=seed)
    verdicts = {one.name: one.verdict for one in result.tests}
    return {
        "set": name,
        "seed": seed,
        "clips": recipe.clips,
        "dimensions": recipe.dimensions,
        "classes": recipe.classes,
        "order": recipe.order,
        "verdict": result.verdict,
        **{column: verdicts.get(column, "") for column in COLUMNS},
    }


def false_alarms(clean: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many clean sets were called anything but clear, with an exact 95 % interval."""
    wrong = [one for one in clean if one["verdict"] != "clear"]
    tests = [name for one in wrong for name in COLUMNS if one[name] not in ("", "clear")]
    low, high = interval(len(wrong), len(clean))
    return {
        "sets": len(clean),
        "alarms": len(wrong),
        "called leak": sum(one["verdict"] == "leak" for one in wrong),
        "low": low,
        "high": high,
        "by test": {name: tests.count(name) for name in sorted(set(tests))},
    }


def power_rows(leaky: Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """How many sets with each leak were flagged by the test it is meant for."""
    rows = []
    for name, (test, _) in LEAKS.items():
        said = [one[test] for one in leaky if one["set"] == name]
        found = sum(one in ("suspect", "leak") for one in said)
        low, high = interval(found, count)
        rows.append(
            {
                "leak": name,
                "test": test,
                "sets": count,
                "flagged": found,
                "called leak": said.count("leak"),
                "share": round(found / count, 3),
                "low": round(low, 3),
                "high": round(high, 3),
            }
        )
    return rows


def interval(found: int, of: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper & Pearson)."""
    low = float(beta.ppf(0.025, found, of - found + 1)) if found else 0.0
    high = float(beta.ppf(0.975, found + 1, of - found)) if found < of else 1.0
    return low, high


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV; none where it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def words(
    rows: Sequence[Mapping[str, Any]], alarms: Mapping[str, Any], power: Sequence[Mapping[str, Any]]
) -> str:
    """The page of results."""
    share = alarms["alarms"] / max(alarms["sets"], 1)
    of = ", ".join(f"{count} {name}" for name, count in alarms["by test"].items()) or "none"
    return "\n".join(
        [
            "# Leak tests: what they say",
            "",
            "`python benchmarks/audit.py --out STORES --json`",
            "",
            "## False alarms",
            "",
            f"Of {alarms['sets']} simulated sets without a leak, {alarms['alarms']} were called "
            f"suspect or leak ({alarms['called leak']} leak): "
            f"{share:.1%}, 95 % interval {alarms['low']:.1%} to "
            f"{alarms['high']:.1%}. By test: {of}.",
            "",
            "100 to 4,000 clips, 12 to 300 dimensions, 2 to 10 classes as small as a tenth of the "
            "largest; sorted by class, by artist or not; 1 to 10 clips an artist, in equal lots or "
            "not; normal or heavy-tailed (t, 3 degrees of freedom); artists known or not.",
            "",
            "## Power",
            "",
            "800 clips of 5 classes, sorted by class, 3 clips an artist; deviations in units of a "
            "clip's own. Flagged: the test that is meant for the leak says suspect or leak.",
            "",
            *table(power),
            "",
            "## Real features",
            "",
            "Released: features published with Choi et al. 2017, layers counted from 0. Own: "
            "encoders of this package. An empty cell: not run, for want of groups, audio or skill.",
            "",
            *table(rows),
            "",
        ]
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines."""
    head = list(rows[0]) if rows else ["none"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(str(row[key]) for key in head) + " |" for row in rows)]


if __name__ == "__main__":
    main()
