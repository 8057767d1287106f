"""A minute of what soak.py does for an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_minute_of_hard_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("soak.py")), "--minutes", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line[:32].strip(): line[32:] for line in done.stdout.splitlines()}
    assert {"compressed", "window read", "verified", "killed"} <= counts.keys()
