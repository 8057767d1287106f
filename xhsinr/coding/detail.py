"""The detail layer: the score planes of one tile as one JPEG 2000 codestream.

All planes worth sending are components of a single codestream, without a colour transform.
The spectral basis is close to orthonormal, so an error costs the same in every plane, and one
rate-distortion optimal truncation over all code-blocks (Taubman and Marcellin, "JPEG2000",
section 8.2) shares the bytes among the planes.

Payload: exponent of the score unit (i1), precision and wavelet (u1), number of planes (<u2), a
bit per plane that tells whether it was sent, then the codestream (ISO/IEC 15444-1, annex A)
without what the decoder knows: of the main header only COD and QCD, then the tile's packets.
"""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from scipy.fft import dctn

from xhsinr.errors import DamagedSidecarError
from xhsinr.spectral.basis import water_level

__all__ = ["decode", "decode_integer", "encode", "expected_distortion"]

FloatArray = npt.NDArray[np.floating[Any]]

_HEADER = struct.Struct("<bBH")
_REVERSIBLE = 0x80
_PRECISIONS = range(9, 25)
# Scores of 24 bits and more times this power of two would leave float32.
_LARGEST_EXPONENT = 100
_FINER = {False: 16, True: 32}
"""Units of the integer scores per quantiser step: the rounding must not add to the error."""

_SIZ = struct.Struct(">HHH8IH")
_COD = struct.Struct(">HHBBHBBBBBB")
_SOT = struct.Struct(">HHHIBB")
_SOC, _EOC, _SOD = b"\xff\x4f", b"\xff\xd9", b"\xff\x93"
_SIZ_MARKER, _COD_MARKER, _QCD_MARKER, _COM_MARKER = 0xFF51, 0xFF52, 0xFF5C, 0xFF64
_SOT_MARKER = 0xFF90
_LONGEST_QCD = 128
_RESOLUTIONS = (20, 2), (12, 3), (0, 5)
"""Wavelet resolutions from so many bits a pixel upwards. Where much is sent there is noise, which
levels don't make smaller, while their small code-blocks cost: 1 to 5 % of the bytes."""
_UNPREDICTED = 0.15
"""Share of a score's variance that its neighbours leave open, roughly."""
_BLOCK = 16
_TINY = 64
_WORTH = 0.1
"""A plane with less than this share of the water level is not sent; far below 1, as a plane
may be weak on the whole and strong in a corner."""


def encode(scores: FloatArray, distortion: float, *, integer: bool = False) -> bytes:
    """Code the scores of one tile with a mean squared error of about ``distortion``.

    Parameters
    ----------
    scores : ndarray of float, shape (components, rows, cols)
        Score planes, all on the same scale.
    distortion : float
        Mean squared error aimed at, above zero, averaged over all samples of all planes, in the
        scores' units squared. Planes far below the water level are not sent, and the error that
        this leaves is counted. For tiles of one scene take it from `expected_distortion`.
    integer : bool
        Code for `decode_integer`: the reversible 5/3 wavelet, which decodes to the same
        integers on every machine, for some 5 to 10 % more bytes than the 9/7 wavelet.

    Returns
    -------
    bytes
        Empty if no plane is worth sending.
    """
    if not distortion > 0:
        raise ValueError(f"the distortion must be above zero, got {distortion}")
    energies = np.square(scores, dtype=np.float64).mean(axis=(1, 2))
    if not np.isfinite(energies).all():
        raise ValueError("scores must be finite: fill samples that are not valid first")
    budget = distortion * len(scores)
    if budget >= energies.sum():
        return b""
    sent = energies > _WORTH * water_level(energies, budget)
    kept = (budget - float(energies[~sent].sum())) / int(sent.sum())
    # Truncation works on whole coding passes, too coarse a grain for a few pixels.
    tiny = scores[0].size < _TINY
    finer = 1 if tiny else _FINER[integer]
    exponent, precision, planes = _to_integers(scores[sent], kept, finer)
    # The peak-to-error ratio of all components together, in dB; 0 stands for no truncation.
    peak = (2.0**precision - 1) * 2.0**exponent
    ratio: Any = 0 if tiny else 10 * np.log10(peak**2 / max(kept, 4.0**exponent / 12))
    codestream = imagecodecs.jpeg2k_encode(
        _widen(planes),
        level=ratio,
        codecformat="J2K",
        planar=True,
        mct=False,
        reversible=integer or tiny,
        resolutions=_resolutions(energies[sent], kept),
        bitspersample=precision,
    )
    mask = sent[: int(np.flatnonzero(sent)[-1]) + 1]
    header = _HEADER.pack(exponent, precision | _REVERSIBLE * (integer or tiny), len(mask))
    return header + np.packbits(mask).tobytes() + _strip(bytes(codestream))


def expected_distortion(scores: FloatArray, levels: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Mean squared errors at which a tile's error falls as steeply with its bytes as all others'.

    The bytes of a scene are well shared out among its tiles where each is coded with the error
    that it has at one level common to all: a coefficient of a block DCT then costs its square
    where a quantiser whose error variance is ``level`` would zero it, and the level elsewhere.
    Equal errors in all tiles would spend far too much on the busy ones.

    Parameters
    ----------
    scores : ndarray of float, shape (components, rows, cols)
    levels : array_like of float
        Error variances per coefficient.

    Returns
    -------
    ndarray of float64
        Distortion for `encode` at each level.
    """
    if scores.size == 0:
        return np.zeros(np.shape(levels))
    planes, rows, cols = scores.shape
    # Squares of float32 overflow early.
    exponent = int(np.frexp(np.abs(scores).max())[1])
    scores = np.ldexp(scores, -exponent)
    relative = np.ldexp(np.asarray(levels, np.float64), -2 * exponent)
    high, wide = min(_BLOCK, rows), min(_BLOCK, cols)
    padded = np.pad(scores, ((0, 0), (0, -rows % high), (0, -cols % wide)), mode="symmetric")
    blocks = padded.reshape(planes, padded.shape[1] // high, high, padded.shape[2] // wide, wide)
    energies = np.sort(np.square(dctn(blocks, axes=(2, 4), norm="ortho")), axis=None)
    below = np.concatenate([[0.0], np.cumsum(energies, dtype=np.float64)])
    zeroed = np.searchsorted(energies, 12 * relative)
    expected = (below[zeroed] + relative * (energies.size - zeroed)) / energies.size
    return np.asarray(np.ldexp(expected, 2 * exponent))


def decode(payload: bytes, rows: int, cols: int, components: int) -> npt.NDArray[np.float32]:
    """Score planes of a tile, shape (n, rows, cols); planes beyond the last one sent are left out.

    Parameters
    ----------
    payload : bytes
        What `encode` returned.
    rows, cols : int
        Shape of the tile.
    components : int
        Components of the basis: ``n`` is at most that many.

    Raises
    ------
    DamagedSidecarError
        If the payload does not fit these shapes or does not decode.
    """
    planes, exponent = _decode(payload, rows, cols, components)
    scores = planes.astype(np.float32)
    # A power of two: the same as ldexp, which is slow.
    scores *= np.float32(2.0**exponent)
    return scores


def decode_integer(
    payload: bytes, rows: int, cols: int, components: int
) -> tuple[npt.NDArray[np.int32], int]:
    """Score planes as integers, and the power of two that scales them: the same everywhere.

    Parameters and errors are those of `decode`; the payload was made with ``integer=True``.
    """
    if payload and not _read_header(payload)[1] & _REVERSIBLE:
        raise DamagedSidecarError(
            "the detail layer was coded with the 9/7 wavelet where the file declares integers: "
            "the file is damaged"
        )
    return _decode(payload, rows, cols, components)


def _resolutions(energies: npt.NDArray[np.float64], distortion: float) -> int:
    """How many resolutions planes of these energies are sent in, with this error in each."""
    ratios = np.maximum(_UNPREDICTED * energies / distortion, 1.0)
    bits = 0.5 * float(np.log2(ratios).sum())
    return next(resolutions for least, resolutions in _RESOLUTIONS if bits >= least)


def _to_integers(
    planes: FloatArray, distortion: float, finer: int
) -> tuple[int, int, npt.NDArray[np.signedinteger[Any]]]:
    """Exponent of the unit, bits per sample, and the planes in that unit."""
    exponent = round(0.5 * np.log2(12 * distortion) - np.log2(finer))
    largest = float(np.abs(planes).max())
    exponent = max(exponent, int(np.frexp(largest)[1]) + 2 - _PRECISIONS[-1])
    integers = np.rint(np.ldexp(planes.astype(np.float64), -exponent))
    precision = max(int(np.abs(integers).max()).bit_length() + 1, _PRECISIONS[0])
    # OpenJPEG reads as many bytes per sample as the precision needs.
    return exponent, precision, integers.astype(np.int16 if precision <= 16 else np.int32)


def _widen(planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Planes in a shape that imagecodecs takes for planes: not of one column."""
    if planes.shape[2] > 1:
        return planes
    row = planes.transpose(0, 2, 1)
    return np.ascontiguousarray(row if row.shape[2] > 1 else row.repeat(2, axis=2))


def _strip(codestream: bytes) -> bytes:
    """Keep of a codestream what `_decode` cannot know: COD, QCD and the packets."""
    at = len(_SOC)
    kept = []
    while (marker := int.from_bytes(codestream[at : at + 2], "big")) != _SOT_MARKER:
        end = at + 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
        if marker in (_COD_MARKER, _QCD_MARKER):
            kept.append(codestream[at:end])
        elif marker not in (_SIZ_MARKER, _COM_MARKER):
            raise RuntimeError(f"this version of OpenJPEG writes an unknown marker {marker:#x}")
        at = end
    at += _SOT.size + len(_SOD)
    return b"".join([*kept, codestream[at : -len(_EOC)]])


def _read_header(payload: bytes) -> tuple[int, int, npt.NDArray[np.bool_], bytes]:
    """Exponent, flags, which planes were sent, and the rest of the payload."""
    if len(payload) < _HEADER.size:
        raise DamagedSidecarError(f"a detail layer cannot have {len(payload)} bytes")
    exponent, flags, count = _HEADER.unpack_from(payload)
    end = _HEADER.size + (count + 7) // 8
    bits = np.unpackbits(np.frombuffer(payload[_HEADER.size : end], np.uint8), count=count)
    return exponent, flags, bits.astype(bool), payload[end:]


def _decode(
    payload: bytes, rows: int, cols: int, components: int
) -> tuple[npt.NDArray[np.int32], int]:
    if not payload:
        return np.zeros((0, rows, cols), np.int32), 0
    exponent, flags, sent, rest = _read_header(payload)
    precision = flags & ~_REVERSIBLE
    count = int(np.count_nonzero(sent))
    if len(sent) > components or count == 0 or precision not in _PRECISIONS:
        raise DamagedSidecarError(
            f"the detail layer declares {count} of {len(sent)} planes of {precision} bits where "
            f"the basis has {components} components: the file is damaged"
        )
    if exponent > _LARGEST_EXPONENT:
        raise DamagedSidecarError(
            f"the detail layer scales its scores by 2**{exponent}, {_LARGEST_EXPONENT} is the most "
            "that floats hold: the file is damaged"
        )
    packets = _check_coding(rest, bool(flags & _REVERSIBLE))
    high, wide = (rows, cols) if cols > 1 else (1, max(rows, 2))
    signed_precision = 0x80 | precision - 1
    codestream = b"".join(
        [
            _SOC,
            _SIZ.pack(_SIZ_MARKER, 38 + 3 * count, 0, wide, high, 0, 0, wide, high, 0, 0, count),
            bytes([signed_precision, 1, 1]) * count,
            rest[: len(rest) - len(packets)],
            _SOT.pack(_SOT_MARKER, 10, 0, _SOT.size + len(_SOD) + len(packets), 0, 1),
            _SOD,
            packets,
            _EOC,
        ]
    )
    try:
        decoded = imagecodecs.jpeg2k_decode(codestream, planar=True)
    except (imagecodecs.Jpeg2kError, ValueError) as error:
        raise DamagedSidecarError(f"the detail layer does not decode: {error}") from error
    decoded = decoded.reshape(count, high, wide)
    decoded = decoded if cols > 1 else decoded[:, 0, :rows, None]
    if sent.all():
        return decoded.astype(np.int32, copy=False), exponent
    planes = np.zeros((len(sent), rows, cols), np.int32)
    planes[sent] = decoded
    return planes, exponent


def _check_coding(rest: bytes, reversible: bool) -> bytes:
    """The packets behind COD and QCD, once these ask for no more memory than is needed.

    Tiny code-blocks or precincts would make the decoder allocate many times the tile.
    """
    if len(rest) >= _COD.size:
        (marker, length, style, _, layers, transform, levels, width, height, _, wavelet) = (
            _COD.unpack_from(rest)
        )
        end = 2 + length
        precincts = rest[_COD.size : end]
        qcd_marker, qcd_length = struct.unpack(">HH", rest[end : end + 4].ljust(4, b"\0"))
        if (
            marker == _COD_MARKER
            and style in (0, 1)
            and length == _COD.size - 2 + (levels + 1) * style
            and layers == 1
            and transform == 0
            and levels <= 10
            and (width, height) == (4, 4)
            and wavelet == reversible
            and all(size & 15 >= 7 and size >> 4 >= 7 for size in precincts)
            and qcd_marker == _QCD_MARKER
            and qcd_length <= _LONGEST_QCD
        ):
            return rest[end + 2 + qcd_length :]
    raise DamagedSidecarError(
        "the detail layer does not hold the JPEG 2000 parameters that it is written with: the "
        "file is damaged"
    )
