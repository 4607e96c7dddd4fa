"""Data sets that are one folder of audio files for each genre, and no list of them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segue.datasets.folders import is_unicode
from segue.datasets.known.layout import LayoutError, audio_in, below
from segue.datasets.known.protocol import Fault

UNLISTED = Fault(
    "no-file-list",
    "No list of its files is distributed.",
    "Every audio file in a genre's folder is a row; one that is missing, added or renamed shows "
    "only in the counts.",
)


@dataclass(frozen=True, slots=True)
class GenreFile:
    """One file of a genre's folder.

    Attributes
    ----------
    path : str
        Relative to the root.
    genre : str
        The published name.
    folder : str
        The folder's name as it is on this disk.
    """

    path: str
    genre: str
    folder: str

    @property
    def stem(self) -> str:
        """File name without its suffix."""
        return PurePosixPath(self.path).stem

    @property
    def id(self) -> str:
        """Genre and file name: two genres may have a file of the same name."""
        return f"{self.genre}/{self.stem}"


def genre_folders(
    root: Path, genres: Mapping[str, Collection[str]], places: Sequence[str], ignored: Counter[str]
) -> dict[str, str]:
    """Folder of each genre that is there, in the order of ``genres``.

    Names are compared without case, punctuation and the word "and", so ``hip_hop`` is Hip-Hop and
    ``Rock and Pop`` is Rock & Pop.

    Parameters
    ----------
    root : Path
    genres : mapping
        Published name to other names its folder is known to have.
    places : sequence of str
        Folders in which the genres' folders may lie; the first with any of them is taken.
    ignored : Counter
        Counts the folders there that are no genre's.

    Raises
    ------
    LayoutError
        No genre's folder is in any place, or two folders there are of one genre.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "music" / "hip_hop").mkdir(parents=True)
    >>> genre_folders(root, {"Blues": (), "Hip-Hop": ()}, ("", "music"), Counter())
    {'Hip-Hop': 'music/hip_hop'}
    """
    wanted = f"a folder of each genre ({', '.join(genres)})"
    known = {_key(name): genre for genre, others in genres.items() for name in (genre, *others)}
    if not root.is_dir():
        raise LayoutError(wanted=wanted, got="no such folder", fix="Check the path", source=root)
    for place in places:
        names = _folders_in(root / place)
        found: dict[str, str] = {}
        for name in names:
            genre = known.get(_key(name))
            if genre in found:
                raise LayoutError(
                    wanted=f"one folder of {genre}",
                    got=f"{PurePosixPath(found[genre]).name!r} and {name!r}",
                    fix="Remove or rename the one that is not of the data set",
                    source=root / place,
                )
            if genre is not None:
                found[genre] = below(place, name)
        if found:
            if strangers := len(names) - len(found):
                ignored["folder that is no genre's"] = strangers
            return {genre: found[genre] for genre in genres if genre in found}
    looked = ", ".join(place or "the folder itself" for place in places)
    raise LayoutError(
        wanted=wanted,
        got=f"none in {looked}",
        fix="Name the folder that the data set was unpacked to, with one folder a genre",
        source=root,
    )


def files_of(
    root: Path, folders: Mapping[str, str], suffixes: Collection[str], ignored: Counter[str]
) -> list[GenreFile]:
    """Audio files directly in the genres' folders, by genre and name."""
    return [
        GenreFile(path, genre, PurePosixPath(folder).name)
        for genre, folder in folders.items()
        for path in audio_in(root, folder, suffixes, ignored)
    ]


def _key(name: str) -> str:
    words = re.split(r"[\W_]+", name.casefold())
    return "".join(word for word in words if word != "and")


def _folders_in(place: Path) -> list[str]:
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        return [entry.name for entry in entries if entry.is_dir() and is_unicode(Path(entry.name))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LayoutError(
            wanted="a folder that can be listed",
            got=error.strerror or str(error),
            fix="Check its permissions",
            source=place,
        ) from error
