"""``train``: meta-learn a base network."""

from __future__ import annotations

from pathlib import Path

import click

from xhsinr.cli.common import OUT, overwrite_option
from xhsinr.errors import SceneError

__all__ = ["train"]


@click.command()
@click.option(
    "--scenes", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True
)
@click.option("--out", type=OUT, required=True, help="The .safetensors file to write.")
@click.option("--validation", multiple=True, metavar="NAME", help="Scene kept out; may repeat.")
@click.option("--only", multiple=True, metavar="NAME", help="Train on this scene; may repeat.")
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON file with settings, see xhsinr.training.TrainingSettings.")  # fmt: skip
@click.option("--steps", type=int, help="Steps of the outer loop, in place of the recipe's.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside OUT.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@overwrite_option
def train(
    scenes: Path,
    out: Path,
    validation: tuple[str, ...],
    only: tuple[str, ...],
    recipe: Path | None,
    steps: int | None,
    resume: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Meta-learn a base network on a folder of scenes.

    Where the folder has a scenes.csv with a column 'split', only its 'train' scenes are used,
    unless they are named with --only.
    """
    from xhsinr import training
    from xhsinr.outputs import check_output

    check_output(out, overwrite=overwrite)
    settings = training.read_settings(recipe, steps)
    paths = training.find_scenes(scenes, only)
    unknown = set(validation) - {path.stem for path in paths}
    if unknown:
        raise SceneError(f"none of the scenes is called {', '.join(sorted(unknown))}: --validation")
    loaded = [training.load_scene(path, settings) for path in paths]
    network = training.train(
        [scene for scene in loaded if scene.name not in validation],
        [scene for scene in loaded if scene.name in validation],
        settings,
        out,
        resume=resume,
        device=device,
    )
    click.echo(f"{out}: {network.file_bytes:,} bytes, SHA-256 {network.digest}")
