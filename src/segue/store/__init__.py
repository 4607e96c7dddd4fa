"""Features on disk: content-addressed, append-only, resumable."""

from segue.store.folder import choose_table, tables
from segue.store.frames import FrameTable
from segue.store.index import Index
from segue.store.kinds import FrameKind
from segue.store.rows import Contents, Failure, FileFacts, Place, Row, Stored, content_key
from segue.store.table import FeatureTable

__all__ = [
    "Contents",
    "Failure",
    "FeatureTable",
    "FileFacts",
    "FrameKind",
    "FrameTable",
    "Index",
    "Place",
    "Row",
    "Stored",
    "choose_table",
    "content_key",
    "tables",
]
