"""Which tracks there are, and what is known of them."""

from segue.datasets.folders import from_folder, from_paths
from segue.datasets.manifest import Manifest, Track
from segue.datasets.problems import Problem
from segue.datasets.targets import Target, Task, infer_task, read_target

__all__ = [
    "Manifest",
    "Problem",
    "Target",
    "Task",
    "Track",
    "from_folder",
    "from_paths",
    "infer_task",
    "read_target",
]
