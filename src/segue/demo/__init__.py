"""The whole main job on an embedded corpus, offline."""

from segue.demo.pipeline import Demo, corpus_manifest, run

__all__ = ["Demo", "corpus_manifest", "run"]
