"""What the command ``xhsinr`` starts with: it can be stopped before the package is imported."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Run the shell; Ctrl-C ends it without a traceback, from the start."""
    usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from xhsinr.cli import main as commands

    signal.signal(signal.SIGINT, usual)
    commands()
