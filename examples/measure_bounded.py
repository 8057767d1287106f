"""Sizes and speed of bounded and lossless files beside other codecs, on the scenes given.

    python examples/measure_bounded.py SCENE.npy ... [--side 512]

Sizes are of whole files, in bits a sample, at largest errors of 0, 4, 16 and 50. Speed is of the
codings alone on one core, in MB of samples per second of processor time, on the first scene
mirrored to a square of ``--side``; the best of two turns, in the first of
which the package may still compile; a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

import xhsinr
from xhsinr.coding.bounded import BoundedCoding
from xhsinr.coding.contract import Frame
from xhsinr.coding.lattice import Lattice

BOUNDS = 0, 4, 16, 50
ROUNDS = 2

Samples = npt.NDArray[Any]
Codec = tuple[Callable[[Samples], Any], Callable[[Any], Any]]


def sizes(path: Path) -> None:
    """Print one row: bits a sample of files of a scene, checked against their bounds."""
    samples = np.load(path)
    row = [f"{path.stem:28}"]
    for bound in BOUNDS:
        with TemporaryDirectory() as folder:
            target = {"max_error": bound} if bound else {"lossless": True}
            out = Path(folder) / "scene.hsinr"
            decoded = xhsinr.compress(path, out, progress=False, **target).open().values
            if decoded.shape != samples.shape:
                decoded = decoded.transpose(1, 2, 0)
            if np.abs(decoded.astype(np.int64) - samples.astype(np.int64)).max() > bound:
                raise SystemExit(f"{path}: a sample is off by more than {bound}")
            row.append(f"{8 * out.stat().st_size / samples.size:8.4f}")
    print(*row)


def own(samples: Samples, bound: int) -> Codec:
    """The coding of the package, without a base."""
    frame = Frame(samples.dtype, len(samples), int(samples.min()), int(samples.max()))
    coding = BoundedCoding(frame, Lattice.plain(samples.dtype), np.array([bound]))
    shape = samples.shape[1:]
    return lambda s: coding.encode(s, None, "cpu"), lambda p: coding.decode(p, *shape, None)


def by_band(encode: Callable[[Samples], bytes], decode: Callable[[bytes], Samples]) -> Codec:
    """A codec of images, band by band, of differences from the band before."""

    def all_bands(samples: Samples) -> list[bytes]:
        steps = samples.astype(np.uint16)
        steps[1:] -= steps[:-1].copy()
        return [encode(np.ascontiguousarray(band)) for band in steps]

    def back(parts: list[bytes]) -> Samples:
        return np.cumsum(np.stack([decode(part) for part in parts]), axis=0, dtype=np.uint16)

    return all_bands, back


def codecs(samples: Samples) -> dict[str, Codec]:
    """Codecs by name; those that imagecodecs was built without are left out."""
    found = {"xhsinr lossless": own(samples, 0), "xhsinr within 4": own(samples, 4)}
    if imagecodecs.JPEGLS.available:
        found["JPEG-LS"] = by_band(imagecodecs.jpegls_encode, imagecodecs.jpegls_decode)
    if imagecodecs.JPEGXL.available:
        found["JPEG XL, effort 3"] = by_band(
            lambda band: imagecodecs.jpegxl_encode(band, effort=3, lossless=True, numthreads=1),
            lambda part: imagecodecs.jpegxl_decode(part, numthreads=1),
        )
    if imagecodecs.LERC.available:
        found["LERC"] = by_band(
            lambda band: imagecodecs.lerc_encode(band, level=0), imagecodecs.lerc_decode
        )
    if imagecodecs.SZ3.available:
        found["SZ3 within 4, of floats"] = (
            lambda s: imagecodecs.sz3_encode(s.astype(np.float32), mode="abs", abs=4),
            lambda part: imagecodecs.sz3_decode(part, samples.shape, np.float32),
        )
    if imagecodecs.SPERR.available:
        found["SPERR within 4, of floats"] = (
            lambda s: imagecodecs.sperr_encode(s.astype(np.float32), mode="pwe", level=4),
            imagecodecs.sperr_decode,
        )
    if imagecodecs.ZSTD.available:
        found["zstd, level 3"] = (
            lambda s: imagecodecs.zstd_encode(s.tobytes(), level=3),
            imagecodecs.zstd_decode,
        )
    return found


def cost(function: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    """What a function gives, and the seconds of processor time that it took."""
    start = time.process_time()
    result = function(argument)
    return result, time.process_time() - start


def size_of(coded: Any) -> int:
    parts = coded.values() if isinstance(coded, dict) else coded
    return len(coded) if isinstance(coded, bytes | bytearray) else sum(map(len, parts))


def speed(path: Path, side: int) -> None:
    """Print a row for each codec: bits a sample, MB/s of encoding and of decoding."""
    bands = np.ascontiguousarray(np.load(path).transpose(2, 0, 1))
    mirrored = np.pad(
        bands,
        [(0, 0), *((0, max(side - n, 0)) for n in bands.shape[1:])],
        mode="symmetric",
    )
    samples = np.ascontiguousarray(mirrored[:, :side, :side])
    best: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, (encode, decode) in codecs(samples).items():
            coded, writing = cost(encode, samples)
            _, reading = cost(decode, coded)
            bits = 8 * size_of(coded) / samples.size
            before = best.get(name, [bits, np.inf, np.inf])
            best[name] = [bits, min(before[1], writing), min(before[2], reading)]
    print(f"\n{path.stem}, {'x'.join(map(str, samples.shape))} {samples.dtype}, one core")
    print(f"{'':28}{'bits':>8}{'encode':>10}{'decode':>10}  MB/s")
    for name, (bits, writing, reading) in best.items():
        megabytes = samples.nbytes / 1e6
        print(f"{name:28}{bits:8.3f}{megabytes / writing:10.1f}{megabytes / reading:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="+", type=Path, help="integer .npy, (rows, cols, bands)")
    parser.add_argument("--side", type=int, default=512, help="pixels, for speed; 0 for none")
    arguments = parser.parse_args()
    print(f"{'bits a sample within':28}", *(f"{bound:8}" for bound in BOUNDS))
    for path in arguments.scenes:
        sizes(path)
    if arguments.side:
        speed(arguments.scenes[0], arguments.side)


if __name__ == "__main__":
    main()
