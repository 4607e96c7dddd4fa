"""Third-party weights: fetched or copied once, checked tensor by tensor, kept as safetensors."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError, WeightsError
from segue.files import write_atomically

Tensors = dict[str, NDArray[np.float32]]

MAX_DOWNLOAD_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsSource:
    """Where weights come from and what they must be.

    ``digest`` covers the tensors, not the file: the same tensors are published in HDF5 files that
    differ in bytes.
    """

    name: str
    url: str
    digest: str
    licence: str
    repository: str


SOURCES = {
    "choi2017-msd": WeightsSource(
        name="choi2017-msd",
        url="https://raw.githubusercontent.com/keunwoochoi/music-auto_tagging-keras/master/"
        "compact_cnn/weights_theano.hdf5",
        digest="bf66765411834bec610e34722f9ab5a2d5ffab85d2cdb5ce138d8a8b9f2366e7",
        licence="MIT",
        repository="keunwoochoi/music-auto_tagging-keras",
    ),
}


def source(name: str) -> WeightsSource:
    """The weights source of a name.

    Raises
    ------
    UsageError
        For a model whose weights are not pulled.
    """
    if name not in SOURCES:
        raise UsageError(
            wanted=f"a model whose weights are pulled: {', '.join(SOURCES)}",
            got=repr(name),
            fix="`segue models list` shows all models and which need weights",
        )
    return SOURCES[name]


def weights_folder() -> Path:
    """Folder of pulled weights: ``$SEGUE_HOME/weights``, else the user's data folder."""
    home = os.environ.get("SEGUE_HOME")
    if home:
        return Path(home) / "weights"
    from platformdirs import user_data_path

    return user_data_path("segue") / "weights"


def tensor_digest(tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over names, shapes and values of tensors, in order of name.

    Examples
    --------
    >>> a = {"w": np.zeros(2, np.float32), "b": np.ones(1, np.float32)}
    >>> tensor_digest(a) == tensor_digest(dict(reversed(a.items())))
    True
    """
    state = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        state.update(f"{name}{values.shape}".encode())
        state.update(values.tobytes())
    return state.hexdigest()


def read_theano_convnet(path: Path) -> Tensors:
    """Tensors of the convnet in the authors' HDF5 file, in this project's names.

    The file comes from Theano, whose convolutions are true convolutions: the kernels are flipped
    in both directions here, since torch correlates. The stored running statistics are all 0 and 1
    and are not taken (see ``segue.encoders.convnet.calibrate``).

    Raises
    ------
    WeightsError
        When the file is no HDF5 file or misses a tensor.
    """
    found = _hdf5_tensors(path)
    tensors: Tensors = {}
    wanted = {
        r"convolution2d_(\d+)_W": "convolutions.{}.weight",
        r"convolution2d_(\d+)_b": "convolutions.{}.bias",
        r"batchnormalization_(\d+)_gamma": "norms.{}.weight",
        r"batchnormalization_(\d+)_beta": "norms.{}.bias",
        r"dense_1_(W)": "tags.weight",
        r"dense_1_(b)": "tags.bias",
    }
    for pattern, target in wanted.items():
        for name, values in found.items():
            match = re.fullmatch(pattern, name)
            if match:
                key = target.format(int(match[1]) - 1) if "{}" in target else target
                tensors[key] = values[..., ::-1, ::-1].copy() if values.ndim == 4 else values
    if len(tensors) != 22:
        raise WeightsError(
            wanted="the 22 tensors of the five-layer convnet (convolution2d_1_W ... dense_1_b)",
            got=f"{len(tensors)} of them among {len(found)} tensors",
            fix="Give the authors' weights file (compact_cnn/weights_theano.hdf5)",
            source=path,
        )
    return tensors


def _hdf5_tensors(path: Path) -> Tensors:
    import h5py

    found: Tensors = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.rsplit("/", 1)[-1]] = np.asarray(item, dtype=np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(collect)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            wanted="an HDF5 weights file",
            got=f"a file that cannot be read as one ({error})",
            fix="Check the path, or download the file again",
            source=path,
        ) from error
    return found


def pull(name: str, *, from_file: Path | None = None) -> Path:
    """Fetch weights (or take a local copy), check them, and keep them as safetensors.

    Parameters
    ----------
    name : str
        "choi2017-msd".
    from_file : Path, optional
        A local copy of the published file, for machines without internet.

    Returns
    -------
    Path
        The safetensors file.

    Raises
    ------
    WeightsError
        When the download fails or a tensor differs from the pinned digest.
    """
    where = source(name)
    if from_file is not None:
        if not from_file.is_file():
            raise WeightsError(
                wanted="a weights file", got="nothing there", fix="Check the path", source=from_file
            )
        tensors = read_theano_convnet(from_file)
    else:
        with tempfile.TemporaryDirectory() as folder:
            tensors = read_theano_convnet(_download(where.url, Path(folder) / "weights.hdf5"))
    _check(where, tensors, str(from_file or where.url))
    return _save(where, tensors)


def _download(url: str, path: Path) -> Path:
    if not url.startswith("https://"):
        raise WeightsError(wanted="an https address", got=url, fix="Report this as a bug")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 (https only, above)
            body = answer.read(MAX_DOWNLOAD_BYTES + 1)
    except (OSError, urllib.error.URLError) as error:
        raise WeightsError(
            wanted=f"the weights at {url}",
            got=f"no download ({error})",
            fix="Check the connection, or fetch the file by hand and pass it with --from FILE",
        ) from error
    if len(body) > MAX_DOWNLOAD_BYTES:
        raise WeightsError(
            wanted=f"at most {MAX_DOWNLOAD_BYTES} bytes",
            got="a larger file",
            fix="The published file is about 1 MB: do not use this one",
            source=url,
        )
    path.write_bytes(body)
    return path


def _check(where: WeightsSource, tensors: Tensors, origin: str) -> None:
    got = tensor_digest(tensors)
    if got != where.digest:
        raise WeightsError(
            wanted=f"the tensors of {where.name} with SHA-256 {where.digest}",
            got=got,
            fix="The file is damaged or not the published one: fetch it again "
            f"from {where.repository} with `segue models pull {where.name}`",
            source=origin,
        )


def _save(where: WeightsSource, tensors: Tensors) -> Path:
    from safetensors.numpy import save

    facts = {"licence": where.licence, "repository": where.repository, "sha256": where.digest}
    path = weights_folder() / f"{where.name}.safetensors"
    return write_atomically(path, save(tensors, metadata=facts))


def load(name: str) -> Tensors:
    """Pulled tensors of a model, checked against their pinned digest.

    Raises
    ------
    WeightsError
        When they were never pulled, or the file was changed since. Nothing is ever replaced by
        random weights.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    where = source(name)
    path = weights_folder() / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsError(
            wanted=f"the weights of {name}",
            got=f"no file {path}",
            fix=f"Run `segue models pull {name}` once (or with --from FILE for a local copy)",
        )
    try:
        tensors: Tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(
            wanted="a safetensors file",
            got=f"one that cannot be read ({error})",
            fix=f"Run `segue models pull {name}` again",
            source=path,
        ) from error
    _check(where, tensors, str(path))
    return tensors
