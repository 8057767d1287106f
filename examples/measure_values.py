"""What real products do to samples, and what that costs: whole files beside general codecs.

Steps, offsets, scaled floats, impulses, undeclared borders and gaps, made of a real scene:

    python examples/measure_values.py jasper_ridge_198_int16.npy [more.npy ...]

Further files are measured losslessly as they are. Peers are general lossless codecs at their
highest levels, on spectra, bands or differences of bands, whichever is smallest; those that are
not installed, or do not give every bit back, are left out.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

import xhsinr

try:
    import fpzip
except ImportError:
    fpzip = None

Samples = npt.NDArray[Any]
Encode = Callable[[Samples], bytes]
Decode = Callable[[bytes, Samples], Samples]


def lossless_cases(scene: Samples) -> Iterator[tuple[str, Samples]]:
    """Names and samples, shape (rows, cols, bands)."""
    yield "as it is", scene
    for step in (2, 5, 10):
        yield f"multiples of {step}", (np.rint(scene / step) * step).astype(scene.dtype)
    yield "12 bits shifted by 4", (np.clip(scene, 0, 4095) << 4).astype(np.uint16)
    yield "float32: x float32(1e-4)", scene.astype(np.float32) * np.float32(1e-4)
    yield "float32: x 2.75e-5 - 0.2", (scene * 2.75e-5 - 0.2).astype(np.float32)
    yield "float32: x 2^-8", (scene * 2.0**-8).astype(np.float32)
    yield "float32: x 0.0137", (scene * 0.0137).astype(np.float32)
    yield "float64: / 1e4", scene / 1e4
    rng = np.random.default_rng(1)
    dither = rng.random(scene.shape) - 0.5
    yield "float32: dithered", ((scene + dither) * 1e-4).astype(np.float32)
    struck = rng.random(scene.shape) < 0.001
    values = rng.choice(np.array([0, scene.max()], scene.dtype), scene.shape)
    yield "0.1 % impulses", np.where(struck, values, scene)
    for fill in (-9999, 0):
        yield f"border of {fill}", turned(scene, fill)


def turned(scene: Samples, fill: int) -> Samples:
    """A scene that lies aslant in its raster, as after orthorectification."""
    rows, cols = scene.shape[:2]
    side = int(1.37 * max(rows, cols))
    y, x = np.mgrid[:side, :side] - side / 2
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    row = np.rint(cosine * y - sine * x + rows / 2).astype(int)
    col = np.rint(sine * y + cosine * x + cols / 2).astype(int)
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    out = np.full((side, side, scene.shape[2]), fill, scene.dtype)
    out[inside] = scene[row[inside], col[inside]]
    return out


def file_size(samples: Samples, folder: Path, **target: Any) -> tuple[int, Samples, float]:
    """Bytes of the whole file, what it decodes to, and seconds of CPU."""
    path = folder / "scene.hsinr"
    start = time.process_time()
    compressed = xhsinr.compress(samples, path, progress=False, overwrite=True, **target)
    seconds = time.process_time() - start
    decoded = compressed.open().values
    if decoded.shape != samples.shape:
        decoded = decoded.transpose(1, 2, 0)
    return path.stat().st_size, decoded, seconds


def arrangements(samples: Samples) -> Iterator[Samples]:
    """Images, each with all samples: pixels by bands, bands below one another, their differences.

    Integers are shifted to unsigned ones; differences of them wrap around.
    """
    if samples.dtype.kind != "f":
        samples = (samples - samples.min()).astype(f"u{samples.itemsize}")
    spectra = np.ascontiguousarray(samples).reshape(-1, samples.shape[2])
    yield spectra
    bands = np.ascontiguousarray(samples.transpose(2, 0, 1))
    yield bands.reshape(-1, samples.shape[1])
    if samples.dtype.kind != "f":
        yield np.diff(bands, axis=0, prepend=bands[:1] * 0).reshape(-1, samples.shape[1])


def peer_codecs() -> dict[str, tuple[Encode, Decode]]:
    """Lossless codecs of images, by name; those that are not installed are left out."""
    found: dict[str, tuple[Encode, Decode]] = {
        "zstd": (
            lambda a: imagecodecs.zstd_encode(a.tobytes(), level=22),
            lambda code, a: np.frombuffer(imagecodecs.zstd_decode(code), a.dtype),
        )
    }
    if imagecodecs.PCODEC.available:
        found["pcodec"] = (
            lambda a: imagecodecs.pcodec_encode(a, level=12),
            lambda code, a: imagecodecs.pcodec_decode(code, shape=a.shape, dtype=a.dtype),
        )
    if imagecodecs.JPEGXL.available:
        found["JPEG XL"] = (
            lambda a: imagecodecs.jpegxl_encode(a, effort=7, lossless=True, numthreads=1),
            lambda code, _: imagecodecs.jpegxl_decode(code, numthreads=1),
        )
    if imagecodecs.JPEGLS.available:
        found["JPEG-LS"] = (
            imagecodecs.jpegls_encode,
            lambda code, _: imagecodecs.jpegls_decode(code),
        )
    if imagecodecs.LERC.available:
        found["LERC"] = (
            lambda a: imagecodecs.lerc_encode(a, level=0),
            lambda code, _: imagecodecs.lerc_decode(code),
        )
    if fpzip is not None:
        found["fpzip"] = (
            lambda a: fpzip.compress(a, precision=0),
            lambda code, _: fpzip.decompress(code),
        )
    return found


def peers(samples: Samples) -> dict[str, float]:
    """Bits a sample of general codecs at the best arrangement; without those that are not exact."""
    sizes = {}
    for name, (encode, decode) in peer_codecs().items():
        for image in arrangements(samples):
            try:
                code = bytes(encode(image))
                exact = np.asarray(decode(code, image)).tobytes() == image.tobytes()
            except (ValueError, TypeError, RuntimeError):
                continue  # a data type that the codec has no samples for
            if exact:
                sizes[name] = min(sizes.get(name, np.inf), 8 * len(code) / samples.size)
    return sizes


def lossless_row(name: str, samples: Samples, folder: Path) -> None:
    size, decoded, seconds = file_size(samples, folder, lossless=True)
    exact = decoded.tobytes() == samples.tobytes()
    others = "  ".join(f"{peer} {bits:6.3f}" for peer, bits in peers(samples).items())
    print(
        f"{name:28s} {8 * size / samples.size:7.3f}  {others}  "
        f"{samples.nbytes / 1e6 / seconds:5.1f} MB/s  {'exact' if exact else 'NOT EXACT'}",
        flush=True,
    )


def gap_rows(scene: Samples, folder: Path) -> None:
    """A scene as float32 at 45 dB with samples that are NaN, beside the same without."""
    floats = (scene / 1e4).astype(np.float32)
    whole, _, _ = file_size(floats, folder, psnr=45)
    print(f"float32 at 45 dB without gaps: {whole} bytes")
    rng = np.random.default_rng(0)
    for share in (0.008, 0.3):
        for what, shape in (("samples", floats.shape), ("pixels", (*floats.shape[:2], 1))):
            gaps = np.broadcast_to(rng.random(shape) < share, floats.shape)
            size, decoded, _ = file_size(
                np.where(gaps, np.float32(np.nan), floats), folder, psnr=45
            )
            error = np.mean(np.square((decoded - floats)[~gaps].astype(np.float64)))
            psnr = 10 * np.log10(float(np.ptp(floats)) ** 2 / error)
            entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
            positions = entropy * np.prod(shape) / 8
            print(
                f"{100 * share:4.1f} % of {what:7s} NaN: {size} bytes, {size / whole:.3f} times; "
                f"less {positions:.0f} bytes of their positions {(size - positions) / whole:.3f} "
                f"times; {psnr:.2f} dB",
                flush=True,
            )


def main() -> None:
    warnings.simplefilter("ignore")
    scene = np.load(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part = np.ascontiguousarray(scene[:64, :64])
        print(f"lossless, bits a sample, {part.shape} of {Path(sys.argv[1]).name}")
        for case, samples in lossless_cases(part):
            lossless_row(case, samples, folder)
        for path in sys.argv[2:]:
            lossless_row(Path(path).stem, np.load(path), folder)
        gap_rows(scene, folder)


if __name__ == "__main__":
    main()
