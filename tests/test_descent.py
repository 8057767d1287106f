"""Checkpoints of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xhsinr.errors import NetworkError

torch = pytest.importorskip("torch")


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    from xhsinr.training.descent import Descent
    from xhsinr.training.settings import SirenSettings

    def descent() -> Descent:
        tensor = torch.ones(4, requires_grad=True)
        return Descent([{"params": [tensor], "lr": 0.1, "initial_lr": 0.1}], SirenSettings())

    path = tmp_path / "checkpoint"
    made = descent()
    made.descend((made._learned()[0] ** 2).sum())
    made.save(path, {"seed": 1})
    content = path.read_bytes()
    descent().restore(path, {"seed": 1})
    for place in rng.permutation(len(content))[:200]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(NetworkError):
            descent().restore(path, {"seed": 1})
