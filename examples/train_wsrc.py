"""Train the network that WSRC, one of the baselines, predicts details with.

    python examples/train_wsrc.py SCENES [OUT.safetensors]

SCENES is a folder with ``scenes.csv`` (columns ``scene``, ``split`` and ``site``) and
``<scene>.npy``, each (rows, cols, bands). Scenes whose split is ``train`` are used, except those of
a site that `xhsinr bench` measures. Takes some minutes on one core.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import trange

from xhsinr.bench.codecs import wsrc
from xhsinr.bench.scenes import DEFAULT_SCENES

STEPS, BATCH, SIZE, RATE = 2000, 8, (12, 12, 24), 3e-3


def training_scenes(folder: Path) -> list[str]:
    """Names of the training scenes whose sites the benchmark doesn't measure."""
    with (folder / "scenes.csv").open() as table:
        rows = list(csv.DictReader(table))
    names = {name.partition("@")[0] for name in DEFAULT_SCENES}
    measured = {row["site"] for row in rows if names & {row["scene"], row["site"]}}
    return [row["scene"] for row in rows if row["split"] == "train" and row["site"] not in measured]


def load(folder: Path, names: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Low subband and details of each scene, as the codec scales them."""
    scenes = []
    for name in names:
        cube = np.load(folder / f"{name}.npy").astype(np.float64)
        cube = cube[:, :, np.isfinite(cube).all((0, 1)) & (cube != -32768).all((0, 1))]
        low, details = wsrc.halve(cube - cube.mean(axis=(0, 1)))
        spread = low.std()
        scenes.append(
            (torch.from_numpy(low / spread).float(), torch.from_numpy(details / spread).float())
        )
    return scenes


def main(folder: Path, out: Path) -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    names = training_scenes(folder)
    scenes = load(folder, names)
    network = wsrc.network()
    adam = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=STEPS)
    before = after = 0.0
    for step in (steps := trange(STEPS)):
        inputs, targets = [], []
        for low, details in (scenes[i] for i in random.integers(len(scenes), size=BATCH)):
            begin = [random.integers(max(1, n - s)) for n, s in zip(low.shape, SIZE, strict=True)]
            cut = tuple(slice(b, b + s) for b, s in zip(begin, SIZE, strict=True))
            inputs.append(low[cut])
            targets.append(details[(slice(None), *cut)])
        predicted, wanted = network(torch.stack(inputs)[:, None]), torch.stack(targets)
        # The mean of scenes and not of samples: noisy scenes shouldn't decide alone.
        energy = wanted.square().mean((1, 2, 3, 4))
        error = (predicted - wanted).square().mean((1, 2, 3, 4))
        loss = (error / (energy + 1e-4)).mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        schedule.step()
        if step >= STEPS - 200:
            before, after = before + energy.mean().item(), after + error.mean().item()
            steps.set_postfix(left=after / before)
    weights = {name: w.half() for name, w in network.state_dict().items()}
    save_file(weights, out, metadata={"training": json.dumps(names)})
    print(f"{after / before:.3f} of the details' energy is left; wrote {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else wsrc.WEIGHTS)
