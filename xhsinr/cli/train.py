"""``train``: a base network from a folder of scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xhsinr.cli.common import OUT, overwrite_option
from xhsinr.errors import NetworkError, SceneError

if TYPE_CHECKING:
    from xhsinr.network.file import Network

__all__ = ["train"]

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--scenes", type=_FOLDER, required=True)
@click.option("--out", type=OUT, required=True, help="The .safetensors file to write.")
@click.option("--prior", is_flag=True, help="The network of lossy files, in place of the paper's.")
@click.option("--start", type=_FILE, help="With --prior: tune this prior to the scenes.")
@click.option("--validation", multiple=True, metavar="NAME", help="Scene kept out; may repeat.")
@click.option("--only", multiple=True, metavar="NAME", help="Train on this scene; may repeat.")
@click.option("--recipe", type=_FILE, help="Without --prior: JSON file with settings.")
@click.option("--steps", type=int, help="Without --prior: steps of the outer loop.")
@click.option("--resume", is_flag=True, help="Without --prior: go on from a checkpoint.")
@click.option("--device", default="cpu", show_default=True, help="Without --prior: cpu or cuda.")
@overwrite_option
def train(
    scenes: Path,
    out: Path,
    prior: bool,
    start: Path | None,
    validation: tuple[str, ...],
    only: tuple[str, ...],
    recipe: Path | None,
    steps: int | None,
    resume: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Train a base network on a folder of scenes.

    With --prior the network that all lossy files share, in some minutes; without it one of the
    paper's kind, which has to be trained on the archive that it is for.

    Where the folder has a scenes.csv with a column 'split', only its 'train' scenes are used,
    unless they are named with --only.
    """
    from xhsinr import training
    from xhsinr.network.places import load_network
    from xhsinr.network.prior import Prior
    from xhsinr.outputs import check_output

    check_output(out, overwrite=overwrite)
    if not prior and start is not None:
        raise click.UsageError("--start goes with --prior")
    if prior and (recipe or steps or resume or device != "cpu"):
        raise click.UsageError("--recipe, --steps, --resume and --device do not go with --prior")
    settings = training.read_settings(recipe, steps)
    paths = training.find_scenes(scenes, only)
    unknown = set(validation) - {path.stem for path in paths}
    if unknown:
        raise SceneError(f"none of the scenes is called {', '.join(sorted(unknown))}: --validation")
    loaded = [training.load_samples(path) for path in paths]
    used = [scene for scene in loaded if scene.name not in validation]
    checked = [scene for scene in loaded if scene.name in validation]
    network: Network
    if prior:
        found = load_network(start) if start else None
        if found is not None and not isinstance(found, Prior):
            raise NetworkError(f"{start} is a {found.kind}, --start needs a prior")
        network = training.train_prior(used, checked, out, start=found)
    else:
        network = training.train_siren(used, checked, settings, out, resume=resume, device=device)
    click.echo(f"{out}: {network.file_bytes:,} bytes, SHA-256 {network.digest}")
