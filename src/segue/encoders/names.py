"""How encoders are called: what can stand in a path, a table, on the command line and in a card."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
LABEL = re.compile(rf"{NAME.pattern}(?:@[0-9]+)?")
"""A name, and layers behind it in the paper's notation: ``"choi2017-msd@135"``."""
