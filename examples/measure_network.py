"""What the base networks of the package are worth on scenes that they have not seen.

    python examples/measure_network.py SCENES [--out FILE.md]

SCENES is a folder of ``.npy`` scenes (rows, cols, bands) with a ``scenes.csv``. Its ``test`` scenes
are measured; the zone of the cosines is that of its ``train`` scenes. Takes some minutes.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn
from tqdm import tqdm

import xhsinr
from xhsinr.bench.codecs import Target
from xhsinr.bench.codecs.pca_jpeg2000 import PcaJpeg2000
from xhsinr.bench.tables import markdown
from xhsinr.coding import contexts
from xhsinr.coding.latent_coding import LatentCoding, fit, quantiser_step
from xhsinr.errors import TargetError
from xhsinr.metrics import bpppb, psnr
from xhsinr.network.base import BaseNetwork
from xhsinr.tiling import Patching
from xhsinr.training import TrainingSettings, load_scene

RATES = (0.002, 0.005, 0.01, 0.02)
PATCH, PLANES, NUMBERS = 32, 8, 128

Cube = npt.NDArray[Any]
Planes = npt.NDArray[np.float32]


def split(folder: Path, name: str) -> list[Path]:
    """Scenes of a split, sorted by name."""
    with (folder / "scenes.csv").open(newline="") as file:
        names = [row["scene"] for row in csv.DictReader(file) if row["split"] == name]
    return [folder / f"{scene}.npy" for scene in sorted(names)]


def planes_of(path: Path) -> Planes:
    """The strongest scores of a scene, the first with variance one."""
    return load_scene(path, TrainingSettings(outputs=PLANES)).planes


def cosines(planes: Planes) -> npt.NDArray[np.float64]:
    """DCT of all patches that fit, shape (patches, planes, PATCH, PATCH)."""
    rows, cols = (size // PATCH * PATCH for size in planes.shape[1:])
    patching = Patching(rows, cols, PATCH)
    blocks = patching.split(planes[:, :rows, :cols]).swapaxes(1, 2)
    return np.asarray(
        dctn(blocks.reshape(-1, len(planes), PATCH, PATCH), axes=(2, 3), norm="ortho"), np.float64
    )


def zone(paths: Sequence[Path]) -> npt.NDArray[np.intp]:
    """The cosines of a patch that hold most over all training scenes, as flat indices."""
    energy = sum(np.square(cosines(planes_of(path))).mean(0) for path in paths)
    return np.argsort(-np.asarray(energy), axis=None, kind="stable")[:NUMBERS]


def unexplained(network: BaseNetwork, folder: Path) -> Iterator[dict[str, str]]:
    """Share of the variance of patches that NUMBERS numbers leave open."""
    wanted = zone(split(folder, "train"))
    model = network.contexts
    assert model is not None
    for path in tqdm(split(folder, "test"), "unexplained variance"):
        planes = planes_of(path)
        rows, cols = (size // PATCH * PATCH for size in planes.shape[1:])
        planes = planes[:, :rows, :cols]
        if not planes.size:
            continue
        transform = cosines(planes).reshape(-1, planes.shape[0] * PATCH * PATCH)
        energy = np.square(transform).sum()
        patching = Patching(rows, cols, PATCH)
        latents = fit(network, planes, patching).astype(np.float64)
        # The atoms are orthonormal on these patches, so that the squares of the latents add up.
        flat = np.zeros((len(planes), PATCH, PATCH, len(patching)))
        u, v = model.orders.astype(int).T
        flat[:, v, u] = latents.reshape(*latents.shape[:2], -1)
        squares = np.square(flat).reshape(-1, len(patching))
        largest = np.sort(squares, axis=0)[-NUMBERS:].sum()
        yield {
            "scene": path.stem,
            "zonal DCT": f"{1 - np.square(transform[:, wanted]).sum() / energy:.4f}",
            "default, the same zone": f"{1 - squares[wanted].sum() / energy:.4f}",
            "default, largest": f"{1 - largest / energy:.4f}",
        }


def rates(folder: Path) -> Iterator[dict[str, str]]:
    """PSNR of whole files, and of the bytes of samples alone, next to PCA + JPEG 2000."""
    for path in tqdm(split(folder, "test"), "rates"):
        cube = np.load(path)
        for rate in RATES:
            with tempfile.TemporaryDirectory() as name:
                file, metadata = Path(name) / "scene.hsinr", 0
                row = {"scene": path.stem, "bpppb": f"{rate:g}"}
                try:
                    metadata = _file(cube, file, rate).info["metadata_bytes"]
                    row |= _compared(cube, file, "whole files")
                except TargetError:
                    row |= {"whole files": "-", "layers": "-", "PCA + JPEG 2000": "-"}
                    metadata = metadata or 700
                extra = bpppb(metadata, cube.size)
                try:
                    _file(cube, file, rate + extra)
                    row |= _compared(cube, file, "samples alone", metadata_counted=False)
                except TargetError:
                    row |= {"samples alone": "-", "layers ": "-", "PCA + JPEG 2000 ": "-"}
                yield row


def previews(folder: Path) -> Iterator[dict[str, str]]:
    """PSNR of previews, which are latents alone, next to PCA + JPEG 2000."""
    for path in tqdm(split(folder, "test"), "previews"):
        cube = np.load(path)
        for network in ("default", "paper"):
            with tempfile.TemporaryDirectory() as name:
                file = Path(name) / "scene.hsinr"
                info = xhsinr.compress(
                    cube, file, quality="preview", network=network, progress=False
                ).info
                row = {"scene": path.stem, "network": network, "bytes": f"{info['bytes']:,}"}
                samples = info["bytes"] - info["metadata_bytes"]
                row["samples alone"] = f"{samples:,}"
                row["bpppb of samples"] = f"{bpppb(samples, cube.size):.4f}"
                compared = _compared(cube, file, "PSNR (dB)", metadata_counted=False)
                row["PSNR (dB)"] = compared["PSNR (dB)"]
                if network == "default":
                    row["PCA + JPEG 2000, as many bytes (dB)"] = compared["PCA + JPEG 2000 "]
                else:
                    row["PCA + JPEG 2000, as many bytes (dB)"] = "-"
                yield row


def _file(cube: Cube, path: Path, rate: float) -> xhsinr.Compressed:
    return xhsinr.compress(cube, path, bpppb=rate, overwrite=True, progress=False)


def _compared(
    cube: Cube, path: Path, column: str, *, metadata_counted: bool = True
) -> dict[str, str]:
    """PSNR of a file and of PCA + JPEG 2000 in as many bytes."""
    handle = xhsinr.open(path)
    info, blank = handle.info, "" if metadata_counted else " "
    size = info["bytes"] - (0 if metadata_counted else info["metadata_bytes"])
    try:
        codec = PcaJpeg2000()
        payload = codec.encode(cube, Target("bpppb", bpppb(size, cube.size)))
        other = f"{psnr(cube, codec.decode(payload)):.2f}"
    except TargetError:
        other = "-"
    return {
        column: f"{info['psnr_db']:.2f}",
        f"layers{blank}": " ".join(info["layers"]) or "mean alone",
        f"PCA + JPEG 2000{blank}": other,
    }


def quantised(network: BaseNetwork, folder: Path) -> Iterator[dict[str, str]]:
    """What quantising costs the latents of a preview, and their bytes against their entropy."""
    model = network.contexts
    assert model is not None
    for path in tqdm(split(folder, "test"), "quantisation"):
        planes = planes_of(path)
        error = 0.05 * float(np.square(planes).mean())
        coding = LatentCoding(network, 0, quantiser_step(error))
        patching = Patching(planes.shape[1], planes.shape[2], network.patch, even=True)
        latents = fit(network, planes / coding.unit, patching)
        payload, integers = contexts.encode(latents, model, patching.shape)
        left = np.square(latents - np.where(integers, latents, 0)).sum()
        both = np.square(latents - integers).sum()
        total = np.square(latents).sum()
        ideal = contexts.code_length(integers, model, patching.shape) / 8
        yield {
            "scene": path.stem,
            "numbers that are not zero": f"{np.count_nonzero(integers):,} of {integers.size:,}",
            "SNR (dB)": f"{10 * np.log10(total / both):.2f}",
            "SNR, the same numbers unquantised (dB)": f"{10 * np.log10(total / left):.2f}",
            "bytes": f"{len(payload):,}",
            "code length (bytes)": f"{ideal:,.1f}",
        }


def table(rows: Iterator[dict[str, str]]) -> str:
    found = list(rows)
    return markdown([*found[0]], [[*row.values()] for row in found])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    arguments = parser.parse_args(words)
    network = xhsinr.load_network("default")
    parts = [
        f"## Variance left open by {NUMBERS} numbers a patch\n\nPatches of {PATCH} x {PATCH} "
        f"pixels, {PLANES} planes of scores, no quantisation. The zone is that of the training "
        "scenes; the largest are others in each patch, and which they are would have to be sent.",
        table(unexplained(network, arguments.scenes)),
        "## Previews\n\nLatents alone. Samples alone: the file without its metadata (JSON, "
        "checksums, report). PCA + JPEG 2000 in exactly as many bytes, its float16 basis "
        "counted. The network `paper` never saw these scenes.",
        table(previews(arguments.scenes)),
        "## PSNR at low rates\n\n`bpppb=`: whole files, and files without their metadata, next "
        "to PCA + JPEG 2000 of exactly as many bytes. dB; a dash where the bytes do not suffice.",
        table(rates(arguments.scenes)),
        "## Quantisation and code length\n\nLatents of previews. The code length is the sum over "
        "all latents of what their tables say.",
        table(quantised(network, arguments.scenes)),
    ]
    page = "\n\n".join(parts) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page)


if __name__ == "__main__":
    main()
