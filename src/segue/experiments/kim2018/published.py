"""What the paper says: its tasks, and Tables 3, 4 and 5 as printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

TITLE = (
    "Kim, Won, Serra, Liem 2018: transfer learning of artist group factors to musical genre "
    "classification"
)

TASKS: Final[Mapping[str, str]] = {
    "g": "main genre",
    "m": "artist groups by MFCC",
    "d": "artist groups by differences of MFCC",
    "e": "artist groups by song-level descriptors",
    "s": "artist groups by sub-genre labels",
}

Sharing = Literal["STN", "MTN", "wSTN"]
STN: Final = "STN"
MTN: Final = "MTN"
WSTN: Final = "wSTN"

LOG_LOSS, MACRO_F1, ACCURACY = "log loss", "macro F1", "accuracy"
METRICS: Final = (LOG_LOSS, MACRO_F1, ACCURACY)
"""The first two are the paper's. Of a log loss, less is better."""

Pair = tuple[float, float]
"""Log loss and macro F1."""

_TABLE4: Final[tuple[tuple[str, float, float, float | None, float | None], ...]] = (
    ("g", 0.8891, 0.5963, None, None),
    ("m", 1.1812, 0.3581, None, None),
    ("d", 1.0987, 0.3967, None, None),
    ("e", 1.2542, 0.3437, None, None),
    ("s", 0.9404, 0.5218, None, None),
    ("gs", 0.8606, 0.6114, 0.8578, 0.6190),
    ("ge", 0.8811, 0.5953, 0.8792, 0.5996),
    ("gd", 0.8845, 0.5898, 0.8803, 0.5955),
    ("gm", 0.8874, 0.5957, 0.8813, 0.6037),
    ("se", 0.9124, 0.5537, 0.9079, 0.5502),
    ("sd", 0.9191, 0.5601, 0.9146, 0.5412),
    ("sm", 0.9260, 0.5581, 0.9283, 0.5458),
    ("ed", 1.0557, 0.4433, 1.0422, 0.4399),
    ("em", 1.1186, 0.4244, 1.1060, 0.4376),
    ("dm", 1.0583, 0.4373, 1.0704, 0.4280),
    ("gse", 0.8361, 0.6255, 0.8335, 0.6277),
    ("gsd", 0.8579, 0.6280, 0.8519, 0.6150),
    ("gsm", 0.8486, 0.6289, 0.8541, 0.6153),
    ("ged", 0.8528, 0.6051, 0.8601, 0.6067),
    ("gem", 0.8645, 0.5988, 0.8701, 0.6056),
    ("gdm", 0.8773, 0.5985, 0.8845, 0.5941),
    ("sed", 0.8965, 0.5818, 0.8867, 0.5640),
    ("sem", 0.9104, 0.5834, 0.8889, 0.5668),
    ("sdm", 0.9211, 0.5629, 0.9109, 0.5572),
    ("edm", 1.0359, 0.4879, 1.0365, 0.4675),
    ("gsed", 0.8211, 0.6343, 0.8132, 0.6328),
    ("gsem", 0.8264, 0.6352, 0.8172, 0.6284),
    ("gsdm", 0.8407, 0.6379, 0.8288, 0.6170),
    ("gedm", 0.8466, 0.6053, 0.8450, 0.6152),
    ("sedm", 0.8906, 0.5856, 0.8875, 0.5870),
    ("gsedm", 0.7894, 0.6599, 0.7727, 0.6571),
)

ORDER: Final[tuple[str, ...]] = tuple(row[0] for row in _TABLE4)
"""All combinations of tasks, in the order and the spelling of Table 4."""

TABLE4: Final[Mapping[tuple[Sharing, str], Pair]] = {
    (STN, tasks): (loss, f1) for tasks, loss, f1, _, _ in _TABLE4
} | {
    (MTN, tasks): (loss, f1)
    for tasks, _, _, loss, f1 in _TABLE4
    if loss is not None and f1 is not None
}

TABLE3: Final[Mapping[tuple[Sharing, bool], Pair]] = {
    (STN, False): (1.0079, 0.4932),
    (STN, True): (0.8540, 0.6154),
    (MTN, False): (0.9618, 0.5168),
    (MTN, True): (0.8486, 0.6155),
}
"""Mean over the combinations without and with the genre. The MTN have no single tasks here."""

TABLE5: Final[Mapping[tuple[Sharing, int], Pair]] = {
    (WSTN, 2): (0.8688, 0.6071),
    (WSTN, 3): (0.8546, 0.6629),
    (WSTN, 4): (0.8278, 0.6451),
    (WSTN, 5): (0.8290, 0.6528),
    (STN, 2): (0.8606, 0.6114),
    (STN, 3): (0.8361, 0.6289),
    (STN, 4): (0.8211, 0.6352),
    (STN, 5): (0.7893, 0.6599),
    (MTN, 2): (0.8578, 0.6190),
    (MTN, 3): (0.8335, 0.6277),
    (MTN, 4): (0.8132, 0.6328),
    (MTN, 5): (0.7727, 0.6571),
}
"""The best of the combinations of so many tasks. As printed: by Table 4 the best F1 of four tasks
apart is .6379 (gsdm), not .6352 (gsem), and the log loss of all five .7894."""
