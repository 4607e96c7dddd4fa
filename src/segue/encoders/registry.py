"""The explicit list of encoders: a name means one thing, or raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.card import FOREIGN
from segue.encoders.calibrated import choi2017_msd, random_convnet
from segue.encoders.convnet import LAYERS
from segue.encoders.descriptors import DescriptorEncoder
from segue.encoders.essentia import EXTRA, EssentiaEncoder
from segue.encoders.folders import (
    EncoderFolder,
    added,
    is_packaged,
    keep,
    open_folder,
    packaged,
    packaged_folder,
)
from segue.encoders.melblocks import MelBlocksEncoder
from segue.encoders.melstats import MelStatsEncoder
from segue.encoders.mfcc import MfccEncoder
from segue.encoders.names import is_path, placed, split_layers
from segue.encoders.protocol import Encoder, checked_device
from segue.encoders.taggers import TAGGERS
from segue.errors import UsageError
from segue.rights import check_rights, is_commercial_only

Build = Callable[..., Encoder]


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered encoder.

    ``build`` takes the keywords ``chunks`` and ``device``, and ``layers`` where the encoder has
    layers. ``weights`` says whether something must be pulled first, ``extra`` which optional part
    of segue must be installed, ``commercial`` what its card says.
    """

    name: str
    summary: str
    build: Build
    layers: tuple[int, ...] = ()
    weights: bool = False
    extra: str = ""
    commercial: bool = True


ENCODERS: tuple[Entry, ...] = (
    Entry("mfcc", "20 MFCC with differences, mean and deviation (120)", MfccEncoder),
    Entry("melstats", "Hamel 2013: statistics of 200 log-mel bands (800)", MelStatsEncoder),
    Entry("melblocks", "Block-level patterns of 200 log-mel bands (5125)", MelBlocksEncoder),
    Entry("descriptors", "Spectrum, timbre, pitch, rhythm, loudness (439)", DescriptorEncoder),
    Entry("random-convnet", "Choi 2017's convnet, untrained (32 a layer)", random_convnet, LAYERS),
    Entry(
        "choi2017-msd",
        "Choi 2017's convnet, trained on MSD tags (32 a layer)",
        choi2017_msd,
        LAYERS,
        weights=True,
    ),
    Entry(
        "choi2017-4q",
        "Choi 2017's convnet, trained on 4q's moods and genres (32 a layer)",
        packaged("choi2017-4q"),
        LAYERS,
        commercial=False,
    ),
    *(
        Entry(
            one.name,
            one.summary,
            one.build,
            one.layers,
            weights=True,
            commercial=one.lessons.commercial,
        )
        for one in TAGGERS
    ),
    Entry(
        "essentia",
        f"Essentia's music extractor (4337); needs pip install 'segue[{EXTRA}]' (AGPL-3.0)",
        EssentiaEncoder,
        extra=EXTRA,
    ),
)


def entry(name: str) -> Entry:
    """The registry entry of a name: registered here, or added with `segue models add`.

    Raises
    ------
    UsageError
        Naming all registered encoders; or a name that is registered and was added too.
    WeightsError
        An added encoder is damaged.
    """
    if name.startswith(FOREIGN):
        return _foreign(placed(name))
    own = added(name)
    for known in ENCODERS:
        if known.name == name:
            if own is not None:
                raise _taken(name, str(own))
            return known
    if own is not None:
        return _folder_entry(open_folder(own))
    raise UsageError(
        wanted=f"an encoder among {', '.join(known.name for known in ENCODERS)}, or an added one",
        got=repr(name),
        fix="`segue models list` describes them; a folder that `segue pretrain` wrote is named by "
        "its path (./NAME), or by its name once `segue models add FOLDER` has kept it",
    )


def _foreign(name: str) -> Entry:
    """An encoder that lies outside segue; its libraries are loaded only when one is asked for."""
    prefix, _, place = name.partition(":")
    if prefix == "hf":
        from segue.encoders.huggingface import open_model

        model = open_model(place)
        return Entry(name, model.summary, model.build, model.layers, extra="hf")
    from segue.encoders.onnx import open_graph

    graph = open_graph(place)
    return Entry(name, graph.summary, graph.build, graph.layers, extra="onnx")


def check_pull(name: str) -> None:
    """Refuse to fetch weights that must not be used commercially where that was asked for."""
    if is_commercial_only() and any(e.name == name and not e.commercial for e in ENCODERS):
        raise UsageError(
            wanted="weights that may be used commercially",
            got=f"those of {name}, which must not",
            fix="Choose another (`segue models list` says which), or drop --commercial",
        )


def is_registered(name: str) -> bool:
    """Whether a name is taken by an encoder of segue's own."""
    return any(known.name == name for known in ENCODERS)


def add(folder: str | Path) -> EncoderFolder:
    """Keep a copy of an encoder folder, so that its name alone finds it.

    A copy of an encoder that comes with segue is there already: nothing is kept.

    Raises
    ------
    WeightsError
        It is no encoder folder.
    UsageError
        Its name is taken.
    StoreError
        It cannot be written.
    """
    opened = open_folder(folder)
    check_rights(opened.card, folder)
    name = opened.card.name
    if not is_registered(name):
        return keep(folder)
    if is_packaged(name) and opened.same_as(own := open_folder(packaged_folder(name))):
        return own
    raise _taken(name, str(folder))


def _folder_entry(folder: EncoderFolder) -> Entry:
    return Entry(folder.card.name, folder.card.description, folder.build, folder.layers)


def _at_path(path: str) -> Entry:
    folder = open_folder(path)
    for known in ENCODERS:
        if known.name == folder.card.name:
            # a copy of a packaged encoder is that encoder; anything else only has its name
            here = None if known.weights else known.build(chunks=1, device="cpu").card.digest
            if here != folder.card.digest:
                raise _taken(known.name, path)
    return _folder_entry(folder)


def _taken(name: str, source: str) -> UsageError:
    return UsageError(
        wanted="a name that means one encoder",
        got=f"{name!r}, which is one of segue's own and not this one",
        fix="Train with another --name, or remove this folder",
        source=source,
    )


def parse_layers(text: str) -> tuple[int, ...]:
    """Layers from ``"135"`` or ``"1,3,5"``; one of two digits needs a comma: ``"12,"``.

    Examples
    --------
    >>> parse_layers("135"), parse_layers("1, 3"), parse_layers("12,")
    ((1, 3, 5), (1, 3), (12,))
    """
    parts = text.strip().removesuffix(",").split(",") if "," in text else list(text.strip())
    try:
        return tuple(int(part) for part in parts)
    except ValueError:
        raise UsageError(
            wanted="layers such as 1,3,5 or 135", got=repr(text), fix="Use digits"
        ) from None


def encoder(
    name: str,
    *,
    layers: Sequence[int] | None = None,
    chunks: int | None = 1,
    device: str = "cpu",
) -> Encoder:
    """Build an encoder: a registered one, an added one, or that of a folder.

    Parameters
    ----------
    name : str
        ``"mfcc"``, or with layers in the paper's notation ``"choi2017-msd@135"``; the name of an
        encoder that was added; or the path of an encoder folder (``"./mine"``,
        ``"out/mine@135"``), which has a separator in it or begins with ``.`` or ``~``;
        ``"hf:NAME_OR_FOLDER"`` for a model of Hugging Face's format, ``"onnx:FILE"`` for a graph
        that `segue models export` wrote.
    layers : sequence of int, optional
        Layers in ascending order without repetition; by default all.
    chunks : int or None
        Excerpts of the encoder's own length heard from the start of a clip, their vectors averaged;
        None hears the whole clip. One, the first 29 or 30 s, is what the papers do.
    device : str
        ``"cpu"`` or a torch device such as ``"cuda"``.

    Raises
    ------
    UsageError
        Unknown name, layers it does not have, a device that is not there; one that must not be used
        commercially where that was asked for (:mod:`segue.rights`).
    WeightsError
        Its weights were not pulled, or its folder is damaged.

    Examples
    --------
    >>> encoder("random-convnet@13").card.dim
    64
    """
    base, code = split_layers(name)
    known = _at_path(base) if is_path(base) else entry(base)
    if code and layers is not None:
        raise UsageError(
            wanted="layers given once", got=f"{name!r} and {list(layers)}", fix="Drop one of them"
        )
    if chunks is not None and chunks < 1:
        raise UsageError(wanted="at least one chunk", got=str(chunks), fix="Use 1 or more, or all")
    checked_device(device)
    asked = parse_layers(code) if code else tuple(layers) if layers is not None else known.layers
    if not known.layers:
        if asked:
            raise UsageError(
                wanted=f"no layers for {base}", got=str(list(asked)), fix="Drop the layers"
            )
        return _permitted(known.build(chunks=chunks, device=device))
    if not asked or list(asked) != sorted(set(asked)) or not set(asked) <= set(known.layers):
        raise UsageError(
            wanted=f"ascending layers among {', '.join(map(str, known.layers))} for {base}",
            got=str(list(asked)),
            fix="Ask for a subset such as --layers 1,3,5",
        )
    return _permitted(known.build(layers=asked, chunks=chunks, device=device))


def _permitted(built: Encoder) -> Encoder:
    check_rights(built.card)
    return built
