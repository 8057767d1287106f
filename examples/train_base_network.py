"""Train the base network that ships with the package, again.

    python examples/train_base_network.py SCENES [OUT.safetensors] [--resume]

SCENES is a folder of scenes with a ``scenes.csv``; only its ``train`` scenes are used, and of
these five sites are kept for validation. With the same scenes, the same machine and the same
versions the result has the same digest.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xhsinr.training import TrainingSettings, find_scenes, load_scene, train

VALIDATION = {"samson_dn", "dcmall_48", "abu-beach-3", "gatorsense_vi", "cuprite_spectir_48"}


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
    print(f"{out}: {network.file_bytes:,} bytes, SHA-256 {network.digest}")


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:] if argument != "--resume"]
    if not 1 <= len(paths) <= 2:
        sys.exit(__doc__)
    main(*[*paths, Path("default.safetensors")][:2], resume="--resume" in sys.argv)
