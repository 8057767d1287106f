"""Planes of 12-bit samples as frames of an HEVC stream: x265 and libavcodec, through PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.errors import TargetError

__all__ = ["COARSEST", "PEAK", "Decoder", "Encoder", "decode", "encode", "packets"]

Frame = npt.NDArray[np.uint16]

PEAK = 4095
"""Largest sample of a frame."""

COARSEST = 51
"""Largest quantisation parameter; the finest is 0, and 6 more double the step."""

_FORMAT = "gray12le"
# Every error counts the same wherever it is, so nothing here serves the eye: no adaptive
# quantisation, tuned for PSNR, rate-distortion optimised throughout. Bands don't move, so a short
# motion search does. No text about the encoder in the stream; one thread, so bytes repeat.
_OPTIONS = (
    "log-level=none:info=0:keyint=-1:frame-threads=1:pools=none:aq-mode=0:psy-rd=0:psy-rdoq=0:"
    "rd=6:max-merge=5:rect=1:amp=1:limit-modes=0:merange=4:subme=2"
)


# x265's own default comes last. A frame that is a single coding tree unit is decoded to other
# samples than the encoder meant, and one that is a single row of them is coded differently by each
# process (seen with x265 4.2), so units are smaller than the frame is high and wide.
_UNITS = (16, 32, 64)


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise TargetError(
            "HEVC needs PyAV, which is not installed: pip install 'xhsinr[bench]'"
        ) from error
    av.logging.set_level(None)
    return av


class Encoder:
    """One stream, frame by frame.

    Parameters
    ----------
    rows, cols : int
    qp : int
        Quantisation parameter of the P frames, 0 to `COARSEST`.
    options : str
        More of x265's own, as ``name=value`` with colons between.
    tune : {"psnr", "zerolatency"}
        ``"zerolatency"`` gives the packets of each frame before it takes the next one.
    """

    def __init__(
        self, rows: int, cols: int, qp: int, options: str = "", tune: str = "psnr"
    ) -> None:
        self._av = _av()
        self._context = self._av.CodecContext.create("libx265", "w")
        self._context.width, self._context.height = cols, rows
        self._context.pix_fmt = _FORMAT
        self._context.time_base = Fraction(1, 25)
        self._context.framerate = Fraction(25)
        unit = max((unit for unit in _UNITS if unit < min(rows, cols)), default=_UNITS[0])
        parameters = ":".join(part for part in (_OPTIONS, f"qp={qp}:ctu={unit}", options) if part)
        self._context.options = {"preset": "slow", "tune": tune, "x265-params": parameters}
        self._frames = 0

    def add(self, frame: Frame) -> bytes:
        """The packets that are ready after this frame, shape (rows, cols), up to `PEAK`."""
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=_FORMAT)
        picture.pts = self._frames
        self._frames += 1
        return b"".join(bytes(packet) for packet in self._context.encode(picture))

    def end(self) -> bytes:
        """The packets that are left."""
        return b"".join(bytes(packet) for packet in self._context.encode(None))


class Decoder:
    """The frames of one stream, as soon as they are ready."""

    def __init__(self) -> None:
        self._av = _av()
        self._context = self._av.CodecContext.create("hevc", "r")
        self._context.thread_count = 1

    def add(self, packet: bytes) -> list[Frame]:
        """The frames that are ready after one packet."""
        return [_plane(frame) for frame in self._context.decode(self._av.Packet(packet))]

    def end(self) -> list[Frame]:
        """The frames that are left."""
        return [_plane(frame) for frame in self._context.decode(None)]


def packets(stream: bytes) -> list[bytes]:
    """A stream, cut into one packet a frame."""
    parser = _av().CodecContext.create("hevc", "r")
    return [bytes(packet) for packet in [*parser.parse(stream), *parser.parse(None)]]


def encode(frames: Sequence[Frame], qp: int, options: str = "") -> bytes:
    """Frames of one shape as a stream."""
    rows, cols = frames[0].shape
    encoder = Encoder(rows, cols, qp, options)
    return b"".join([encoder.add(frame) for frame in frames]) + encoder.end()


def decode(stream: bytes) -> npt.NDArray[np.uint16]:
    """The frames of a stream, shape (frames, rows, cols)."""
    decoder = Decoder()
    frames = [frame for packet in packets(stream) for frame in decoder.add(packet)]
    return np.stack([*frames, *decoder.end()])


def _plane(frame: Any) -> Frame:
    plane: Frame = frame.to_ndarray()
    return plane
