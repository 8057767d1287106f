"""Train the base network that ships with the package, again.

    python examples/train_base_network.py SCENES [--out OUT.safetensors] [--resume]

SCENES is a folder of scenes with a ``scenes.csv``; only its ``train`` scenes are used, and of
these five sites are kept for validation. With the same scenes, the same machine and the same
versions the result has the same digest.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from xhsinr.network.base import save_network
from xhsinr.training import TrainingSettings, find_scenes, load_scene, train

VALIDATION = {"samson_dn", "dcmall_48", "abu-beach-3", "gatorsense_vi", "cuprite_spectir_48"}

# What the settings were chosen among, on the validation scenes: mean PSNR (dB) at 0.01 bpppb and
# at 0.1, basis and latents counted; see docs/networks.md.
TRIED = [
    ["what", "dB at 0.01", "dB at 0.1"],
    ["detail layer, for comparison", 37.02, 51.38],
    ["patches of 16 pixels, static tables, a class a patch", 36.94, None],
    ["patches of 25 pixels, static tables, a class a patch", 36.86, None],
    ["patches of 16 pixels, contexts", 37.68, None],
    ["patches of 20 pixels, contexts (kept)", 37.72, 51.94],
    ["patches of 25 pixels, contexts", 37.60, 51.76],
    ["patches of 32 pixels, contexts", 37.58, 51.78],
]


def main(scenes: Path, out: Path, *, resume: bool) -> None:
    settings = TrainingSettings()
    loaded = [load_scene(path, settings) for path in find_scenes(scenes)]
    network = train(
        [scene for scene in loaded if scene.name not in VALIDATION],
        [scene for scene in loaded if scene.name in VALIDATION],
        settings,
        out,
        resume=resume,
    )
    network = save_network(replace(network, recipe=network.recipe | {"tried": TRIED}), out)
    print(f"{out}: {network.file_bytes:,} bytes, SHA-256 {network.digest}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--out", type=Path, default=Path("default.safetensors"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"{arguments.out} exists: remove it, or write elsewhere with --out")
    main(arguments.scenes, arguments.out, resume=arguments.resume)
