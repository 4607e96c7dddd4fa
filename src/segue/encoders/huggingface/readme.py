"""What a model's README.md says of its licence, training data and citation.

The README is written by whoever published the model. Only what its front matter names as one of
the licences below counts as permission for commercial use; anything else, and silence, does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.encoders.huggingface.library import library
from segue.encoders.huggingface.places import README, Place
from segue.errors import WeightsError
from segue.files import read_bounded

MAX_README_BYTES = 2**20
MAX_FRONT_MATTER = 2**16
MAX_WORDS = 1000
# identifiers of the hub; conditions on use (openrail) or on what is built (gpl) are left out
COMMERCIAL = frozenset(
    {
        *("mit", "apache-2.0", "isc", "zlib", "ncsa", "bsl-1.0", "unlicense", "cc0-1.0", "pddl"),
        *("bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear"),
        *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
    }
)
FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
BIBTEX = re.compile(r"^[ \t]*@[A-Za-z]+\{", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Words for the card of an encoder, and whether its weights may serve a business."""

    licence: str
    commercial: bool
    training_data: str
    citation: str


def terms_of(place: Place) -> Terms:
    """What the README.md of a model says; all unknown where there is none.

    Raises
    ------
    WeightsError
        It is too large, or its front matter is malformed.
    """
    path = place.folder / README
    try:
        text = read_bounded(path, MAX_README_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    except (OSError, ValueError) as error:
        raise _unusable(path, getattr(error, "strerror", None) or str(error)) from error
    matter = FRONT_MATTER.match(text)
    facts = _front_matter(matter[1], path) if matter else {}
    cited = citation_in(text[matter.end() if matter else 0 :])
    return Terms(
        licence=_licence(facts, place.origin),
        commercial=may_serve_business(facts.get("license")),
        training_data=", ".join(_texts(facts.get("datasets"))) or f"not stated ({place.origin})",
        citation=cited or f"none given ({place.origin})",
    )


def may_serve_business(licence: object) -> bool:
    """Whether a licence of the front matter permits commercial use; several must all do.

    Examples
    --------
    >>> may_serve_business("apache-2.0"), may_serve_business("cc-by-nc-4.0")
    (True, False)
    >>> may_serve_business(["mit", "other"]), may_serve_business(None)
    (False, False)
    """
    several = licence if isinstance(licence, list) else [licence]
    # one that is no text is not understood, and permits nothing
    named = [one.strip().lower() if isinstance(one, str) else "" for one in several]
    return bool(named) and COMMERCIAL.issuperset(named)


def citation_in(text: str) -> str:
    """The first BibTeX entry of a text, on one line; empty where there is none.

    Examples
    --------
    >>> citation_in("Cite:\\n@misc{a,\\n  title = {A {B}},\\n}\\nThanks {all}")
    '@misc{a, title = {A {B}}, }'
    """
    found = BIBTEX.search(text)
    if found is None:
        return ""
    open_braces = 1
    for end in range(found.end(), len(text)):
        open_braces += {"{": 1, "}": -1}.get(text[end], 0)
        if open_braces == 0:
            return plain(text[found.start() : end + 1])
    return ""


def plain(text: str) -> str:
    """A text on one line, without what could confuse a terminal.

    Examples
    --------
    >>> plain("@article{a,\\n  year = 2023}\\x1b[31m")
    '@article{a, year = 2023}[31m'
    """
    words = " ".join(text.split())
    return "".join(one for one in words if one.isprintable())[:MAX_WORDS]


def _licence(facts: Mapping[str, Any], origin: str) -> str:
    named = _texts(facts.get("license"))
    if not named:
        return f"unknown ({origin} names none)"
    more = [*_texts(facts.get("license_name")), *_texts(facts.get("license_link"))]
    return f"{' and '.join(named)} ({'; '.join([*more, origin])})"


def _texts(value: object) -> list[str]:
    """The texts of a front matter's value: one, a list of them, or nothing usable."""
    several = value if isinstance(value, list) else [value]
    return [plain(one) for one in several[:100] if isinstance(one, str) and plain(one)]


def _front_matter(text: str, path: Path) -> Mapping[str, Any]:
    yaml = library("yaml")
    if len(text) > MAX_FRONT_MATTER:
        raise _unusable(path, f"front matter of {len(text)} characters")
    try:
        # a few references to references are enough to fill the memory
        if any(isinstance(event, yaml.events.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("references")
        facts = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unusable(path, f"malformed front matter ({type(error).__name__})") from error
    return facts if isinstance(facts, dict) else {}


def _unusable(path: Path, got: str) -> WeightsError:
    return WeightsError(
        wanted=f"a README.md of at most {MAX_README_BYTES} bytes, with YAML between lines of ---",
        got=got,
        fix="Correct it, or remove it: then the licence counts as unknown",
        source=path,
    )
