"""Linear sidecars for a GDAL without Python: a raster of scores and a VRT that combines them.

Where a sidecar has neither latents nor a bound layer, every band is a mean plus a weighted sum
of score planes. That is GDAL's ``BandAffineCombination`` (VRT driver, "VRT processed dataset",
GDAL 3.9 or newer). The scores are as exact as in the sidecar, but coded by GeoTIFF's DEFLATE, so
they take several times its bytes.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window
from tqdm import tqdm

from xhsinr.coding import detail, mask
from xhsinr.coding.codec import Codec
from xhsinr.errors import SceneError
from xhsinr.gdal import vrt
from xhsinr.outputs import check_output, replacing
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

__all__ = ["export_gdal_native"]

_NO_SCORE = float(np.finfo(np.float32).min)
"""Stands in every score plane of a pixel of nodata."""

_BLOCK = 256


def export_gdal_native(
    path: str | os.PathLike[str],
    vrt_path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[Path, Path]:
    """Write a linear sidecar as a score raster and a VRT that GDAL opens without Python.

    Parameters
    ----------
    path : str or path
        Of the ``.hsinr`` file.
    vrt_path : str or path
        Of the VRT; the scores go beside it, with the suffix ``.scores.tif``. The two may be
        moved together.
    overwrite : bool
        Replace existing files.
    progress : bool
        Show progress where it takes longer than two seconds.

    Returns
    -------
    tuple of Path
        The VRT and the score raster.

    Raises
    ------
    SceneError
        If the file is not linear, or if its samples without data cannot be written like this.
    OutputExistsError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
    """
    reader = Reader(Sidecar.open(os.fspath(path)))
    target = Path(vrt_path)
    scores = target.with_suffix(".scores.tif")
    for output in (target, scores):
        check_output(output, overwrite=overwrite, source=os.fspath(path))
    _check_linear(reader)
    with replacing(scores) as part, replacing(target) as vrt_part:
        state = _write_scores(reader, part, progress)
        vrt_part.write_text(_vrt_text(reader, scores.name, state), "utf-8")
    return target, scores


def _check_linear(reader: Reader) -> None:
    name, layers = reader.sidecar.name, reader.sidecar.layers
    other = [layer for layer in layers if layer not in ("mask", "detail")]
    if other:
        raise SceneError(
            f"{name} has the layer {' and '.join(map(repr, other))}, which is no weighted sum of "
            "score planes: use `xhsinr vrt`, or compress with quality='standard'"
        )
    codec = reader.codec
    other_bands = np.flatnonzero(~codec.live & (codec.states != mask.NODATA))
    if other_bands.size:
        # GDAL takes no NaN for a coefficient.
        raise SceneError(
            f"{name}: band {other_bands[0]} is NaN where it is not nodata, which a combination of "
            "scores cannot: use `xhsinr vrt`"
        )


def _write_scores(reader: Reader, target: Path, progress: bool) -> int:
    """Write the score planes; returns the state of what has no data, see `xhsinr.coding.mask`."""
    _, rows, cols = reader.shape
    codec = reader.codec
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": max(codec.basis.components, 1),
        "height": rows,
        "width": cols,
        "dtype": "float32",
        "nodata": _NO_SCORE,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "predictor": 3,
        "interleave": "band",
        "BIGTIFF": "IF_SAFER",
    }
    states = {int(state) for state in codec.states[~codec.live]}
    tiles = tqdm(range(len(reader.tiling)), "export", delay=2, disable=not progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(target, "w", **profile) as out:
            for number in tiles:
                pixels, found = _without_data(reader, number)
                planes = _scores(reader, number, profile["count"])
                states |= found
                # GDAL takes no NaN for the nodata of a step, but calculates with it.
                planes[:, pixels] = np.nan if mask.NAN in states else _NO_SCORE
                out.write(planes, window=Window.from_slices(*reader.tiling.window(number)))
    if len(states) > 1:
        raise SceneError(
            f"{reader.sidecar.name} has both nodata and NaN, which a combination of scores "
            "cannot: use `xhsinr vrt`"
        )
    return states.pop() if states else mask.VALID


def _scores(reader: Reader, number: int, planes: int) -> npt.NDArray[np.float32]:
    tile_shape = reader.tiling.shape(number)
    coded = reader.sidecar.payload(number).get("detail", b"")
    sent = detail.decode(coded, *tile_shape, reader.codec.basis.components)
    scores = np.zeros((planes, *tile_shape), np.float32)
    scores[: len(sent)] = sent
    return scores


def _without_data(reader: Reader, number: int) -> tuple[npt.NDArray[np.bool_], set[int]]:
    """Pixels of a tile without data, and their states."""
    samples = reader.tile(number, np.flatnonzero(reader.codec.live))
    # Only NaN is not itself.
    nan = np.asarray(samples != samples)
    value = reader.codec.nodata
    nodata = np.zeros_like(nan) if value is None else np.asarray(samples == value)
    pixels: npt.NDArray[np.bool_] = (nan | nodata).any(axis=0)
    if not (nan | nodata)[:, pixels].all():
        raise SceneError(
            f"{reader.sidecar.name}: tile {number} has pixels with data in some bands only, which "
            "a combination of scores cannot: use `xhsinr vrt`"
        )
    states = ((mask.NAN, nan), (mask.NODATA, nodata))
    return pixels, {state for state, where in states if where.any()}


def _vrt_text(reader: Reader, scores: str, state: int) -> str:
    codec = reader.codec
    root = vrt.described(reader.scene())
    root.set("subClass", "VRTProcessedDataset")
    bands = root.findall("VRTRasterBand")
    for band in bands:
        band.set("subClass", "VRTProcessedRasterBand")
    source = ElementTree.Element("Input")
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1").text = scores
    steps = ElementTree.Element("ProcessingSteps")
    combination = _combination(codec, state)
    combination["dst_intended_datatype"] = bands[0].attrib["dataType"]
    _add_step(steps, "Spectra of scores", "BandAffineCombination", combination)
    if state == mask.NODATA and not codec.live.all():
        # The combination clamps to the range of valid samples; a table gets nodata past that.
        _add_step(steps, "Bands of nodata", "LUT", _tables(codec))
    first = list(root).index(bands[0])
    root[first:first] = [source, steps]
    return vrt.to_text(root)


def _add_step(
    steps: ElementTree.Element, name: str, algorithm: str, arguments: dict[str, str]
) -> None:
    step = ElementTree.SubElement(steps, "Step", name=name)
    ElementTree.SubElement(step, "Algorithm").text = algorithm
    for key, value in arguments.items():
        ElementTree.SubElement(step, "Argument", name=key).text = value


def _combination(codec: Codec, state: int) -> dict[str, str]:
    """Arguments of GDAL's BandAffineCombination: a constant and the weights, a line a band."""
    lines = np.zeros((len(codec.live), 1 + max(codec.basis.components, 1)))
    lines[codec.live, 0] = codec.basis.mean
    lines[codec.live, 1 : 1 + codec.basis.components] = codec.basis.vectors.T
    arguments = {
        f"coefficients_{band + 1}": ",".join(map(repr, line.tolist()))
        for band, line in enumerate(lines)
    }
    arguments |= {"src_nodata": repr(_NO_SCORE), "min": repr(codec.low), "max": repr(codec.high)}
    if state == mask.NODATA:
        arguments["dst_nodata"] = repr(codec.nodata)
    return arguments


def _tables(codec: Codec) -> dict[str, str]:
    """Arguments of GDAL's LUT: bands with data as they are, the others constant."""
    low, high, nodata = repr(codec.low), repr(codec.high), repr(codec.nodata)
    as_it_is, empty = f"{low}:{low},{high}:{high}", f"{low}:{nodata},{high}:{nodata}"
    return {f"lut_{band + 1}": as_it_is if live else empty for band, live in enumerate(codec.live)}
