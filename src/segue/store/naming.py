"""Names of the files and folders of a store."""

from __future__ import annotations

import re
import uuid

from segue.files import Location, entries

LONGEST = 100  # characters of a label in a name; file systems take 255 bytes


class Names:
    """Names for new files beside others: the highest number there and one, and a unique part.

    The number orders files for people; two writers may take the same one. What keeps their files
    apart, on any file system, are 128 random bits. So the folder is listed once, not for each
    name: of a long run it comes to hold many thousands.

    Parameters
    ----------
    folder : Path or UPath

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "000006-cd.parquet").touch()
    >>> names = Names(folder)
    >>> names.new()[:7], names.new()[:7]
    ('000007-', '000008-')
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self._number: int | None = None

    def new(self) -> str:
        """The next name.

        Raises
        ------
        StoreError
            The folder cannot be listed.
        """
        if self._number is None:
            # after the highest there is, not the count: a file may have been removed by hand
            numbers = (path.name.split("-")[0] for path in entries(self.folder))
            self._number = max((int(one) for one in numbers if one.isdecimal()), default=-1)
        self._number += 1
        return f"{self._number:06d}-{uuid.uuid4().hex}"


def folder_name(label: str, digest: str) -> str:
    """Name of the folder of a card's table: its label, and the digest that tells it apart.

    Of a label that no name can hold, such as that of an encoder behind a path, the last part
    stays.

    Examples
    --------
    >>> folder_name("choi2017-msd@135", "0123456789abcdef")
    'choi2017-msd@135-0123456789ab'
    >>> folder_name("hf:org/name@1,12", "0123456789abcdef")
    'name@1_12-0123456789ab'
    """
    if re.search(r"[:/\\,*?\"<>|\x00-\x1f]", label):
        last = re.split(r"[/\\]", label)[-1]
        label = re.sub(r"[^\w@.+-]", "_", last).lstrip(".")[:LONGEST]
    return f"{label}-{digest[:12]}"
