"""The command line: translation only. ``segue --help`` lists the commands."""

from __future__ import annotations

from segue.cli.app import app


def main() -> None:
    """Entry point of the ``segue`` command."""
    app()


__all__ = ["app", "main"]
