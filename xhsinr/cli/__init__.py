"""``xhsinr`` in the shell: one command a function, one group for all."""

from __future__ import annotations

import click

import xhsinr
from xhsinr.cli.archive import archive
from xhsinr.cli.bench import bench
from xhsinr.cli.common import Group
from xhsinr.cli.demo import demo
from xhsinr.cli.gdal import doctor, serve, vrt
from xhsinr.cli.scene import compress, decompress, info, salvage, verify
from xhsinr.cli.train import train

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(xhsinr.__version__, prog_name="xhsinr")
def main() -> None:
    """Compress hyperspectral scenes, and read them back.

    A sidecar is the .hsinr file that holds one compressed scene.
    """


_of_scenes = (compress, decompress, info, verify, salvage)
for _command in (archive, bench, *_of_scenes, train, demo, serve, vrt, doctor):
    main.add_command(_command)
