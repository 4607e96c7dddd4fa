"""Where a model lies: a folder, or a revision that was pulled into the hub's cache on this machine.

Nothing is fetched but by :func:`pull_model`. It pins the revision it fetched in a file of segue's
own, so that another program's download of a newer one never changes features in silence.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segue.encoders.huggingface.library import library
from segue.encoders.names import expanded
from segue.encoders.weights import weights_folder
from segue.errors import UsageError, WeightsError
from segue.files import read_bounded, write_atomically

logger = logging.getLogger(__name__)

CONFIG, README = "config.json", "README.md"
EXTRACTORS = ("preprocessor_config.json", "processor_config.json")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = "model-*.safetensors"
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9_][\w.-]{0,95})?")
HUB = "https://huggingface.co"
MAX_PIN_BYTES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The files of one model.

    Attributes
    ----------
    name : str
        As an encoder: ``"hf:organisation/model"``, or ``"hf:"`` and the absolute path of a folder.
    folder : Path
    revision : str or None
        Commit of the repository; None for a folder.
    """

    name: str
    folder: Path
    revision: str | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        return "the folder's README.md" if self.revision is None else f"{HUB}/{self.name[3:]}"


def is_folder(place: str) -> bool:
    """Whether a folder is meant: written as a path, or there.

    Examples
    --------
    >>> is_folder("./mine"), is_folder("/models/mine"), is_folder("organisation/model")
    (True, True, False)
    """
    return place.startswith((".", "~", "/")) or (place != "" and Path(place).exists())


def located(place: str) -> Place:
    """The files of a folder, or of a name on the hub that was pulled.

    Raises
    ------
    UsageError
        Neither a path nor a name.
    WeightsError
        No such folder; or a name that was never pulled, which says how to.
    """
    if is_folder(place):
        folder = expanded(place).absolute()
        if not folder.is_dir():
            raise WeightsError(
                wanted=f"a folder with a Hugging Face model ({CONFIG} and {WHOLE})",
                got="no such folder",
                fix="Name a folder that save_pretrained wrote, or a model on the hub",
                source=folder,
            )
        return Place(name=f"hf:{folder}", folder=folder)
    name = hub_name(place)
    revision = _pinned(name)
    found = _cached(name, revision or "main")
    if found is None:
        raise WeightsError(
            wanted=f"the files of hf:{name} on this machine",
            got="nothing in the cache" if revision is None else f"a cache without its {revision}",
            fix=f"Fetch them once with `segue models pull hf:{name}`; a folder is written as a "
            "path, as hf:./FOLDER",
        )
    return Place(name=f"hf:{name}", folder=found, revision=found.name)


def hub_name(name: str) -> str:
    """A name that can be a repository's.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> hub_name("organisation/model")
    'organisation/model'
    """
    if not HUB_NAME.fullmatch(name) or ".." in name or "--" in name:
        raise UsageError(
            wanted="hf:ORGANISATION/MODEL, or hf: and the path of a folder",
            got=f"hf:{name[:100]!r}",
            fix="Copy the name from the model's page; write a folder as hf:./FOLDER",
        )
    return name


def pull_model(name: str) -> Path:
    """Fetch the current revision of a model, and pin it.

    Descriptions come first: what segue cannot use, or what has no safetensors weights, is refused
    before its weights are fetched.

    Parameters
    ----------
    name : str
        ``"organisation/model"``, with or without ``hf:`` before it.

    Returns
    -------
    Path
        The folder of that revision in the hub's cache.

    Raises
    ------
    UsageError
        No name of a repository; a model of a family that segue does not know; one that must not be
        used commercially, where that was asked for.
    WeightsError
        It cannot be reached, or has no safetensors weights.
    StoreError
        The pin cannot be written.
    """
    from segue.encoders.huggingface.model import open_place
    from segue.rights import check_rights

    name = hub_name(name.removeprefix("hf:"))
    try:
        facts = library("huggingface_hub").HfApi().model_info(name)
    except _network_errors() as error:
        raise _unreachable(name, error) from error
    revision = str(facts.sha)
    if not COMMIT.fullmatch(revision):
        raise _unreachable(name, ValueError(f"{revision!r:.80} for a revision"))
    wanted = weight_files(name, [file.rfilename for file in facts.siblings or ()])
    folder = _fetch(name, revision, (CONFIG, README, *EXTRACTORS))
    model = open_place(Place(name=f"hf:{name}", folder=folder, revision=revision))
    check_rights(model.card())
    _fetch(name, revision, wanted)
    pin = json.dumps({"repository": name, "revision": revision}, indent=1) + "\n"
    write_atomically(_pin_file(name), pin.encode())
    logger.info("pulled %s at revision %s", name, revision)
    return folder


def weight_files(source: str | Path, names: Iterable[str]) -> tuple[str, ...]:
    """Patterns of the weights among the files of a model: one file, or an index with its parts.

    Raises
    ------
    WeightsError
        There are none, or only pickles.

    Examples
    --------
    >>> weight_files("a/b", ["config.json", "model.safetensors", "pytorch_model.bin"])
    ('model.safetensors',)
    """
    there = set(names)
    if WHOLE in there:
        return (WHOLE,)
    if INDEX in there:
        return (INDEX, SHARDS)
    pickles = sorted(one for one in there if one.endswith((".bin", ".pt", ".pth", ".ckpt")))
    raise WeightsError(
        wanted=f"weights as safetensors ({WHOLE})",
        got=f"only {', '.join(pickles[:3])}, which may run code when opened" if pickles else "none",
        fix="Convert them once, where you trust them (docs/how-to/hugging-face.md), and name that "
        "folder",
        source=source,
    )


def _fetch(name: str, revision: str, files: tuple[str, ...]) -> Path:
    try:
        found = library("huggingface_hub").snapshot_download(
            name, revision=revision, allow_patterns=list(files)
        )
    except _network_errors() as error:
        raise _unreachable(name, error) from error
    return Path(found)


def _network_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises: its own errors, its HTTP library's, a full disk."""
    errors = library("huggingface_hub.errors")
    http = [one for one in errors.HfHubHTTPError.__mro__ if one.__name__ == "HTTPError"]
    return (OSError, ValueError, RuntimeError, errors.HfHubHTTPError, *http)


def _unreachable(name: str, error: Exception) -> WeightsError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WeightsError(
        wanted=f"{HUB}/{name}",
        got=said[:300],
        fix="Check the name and the connection; a model that asks for terms needs `hf auth login` "
        "first; on a machine without internet, copy the model's folder and name its path",
    )


def _cached(name: str, revision: str) -> Path | None:
    """The folder of a revision in the hub's cache; None where it is not."""
    found = library("huggingface_hub").try_to_load_from_cache(name, CONFIG, revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _pin_file(name: str) -> Path:
    return weights_folder().parent / "huggingface" / f"{name.replace('/', '--')}.json"


def _pinned(name: str) -> str | None:
    """The revision that was pulled; None where segue never did.

    Raises
    ------
    WeightsError
        The file that says so is damaged.
    """
    path = _pin_file(name)
    if not path.exists():
        return None
    try:
        revision = json.loads(read_bounded(path, MAX_PIN_BYTES))["revision"]
        if not COMMIT.fullmatch(revision):
            raise ValueError(f"revision {revision!r:.80}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise WeightsError(
            wanted="the revision that was pulled",
            got=f"a damaged file ({error})",
            fix=f"Run `segue models pull hf:{name}` again",
            source=path,
        ) from error
    return str(revision)
