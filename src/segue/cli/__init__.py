"""The command line: translation only. ``segue --help`` lists the commands."""

from __future__ import annotations

import signal

from segue.cli.app import app


def main() -> None:
    """Entry point of the ``segue`` command. Being told to end is treated like Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    app()


__all__ = ["app", "main"]
