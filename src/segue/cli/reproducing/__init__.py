"""``segue reproduce``: a paper's tables and figures, as published and as corrected."""

from segue.cli.reproducing import choi2017, hamel2013, kim2018

__all__ = ["choi2017", "hamel2013", "kim2018"]
