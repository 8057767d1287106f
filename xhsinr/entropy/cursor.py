"""Bytes of small headers: numbers in as few bytes as they need, read one after another."""

from __future__ import annotations

import zlib

from xhsinr.errors import DamagedSidecarError

__all__ = ["Cursor", "inflate", "varint"]

_MOST_BYTES = 9


def varint(value: int) -> bytes:
    """A natural number below 2**63, seven bits a byte, lowest first; all but the last have bit 7.

    Examples
    --------
    >>> varint(5).hex(), varint(300).hex()
    ('05', 'ac02')
    """
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{value} is no natural number below 2**63")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def inflate(packed: bytes, size: int) -> bytes:
    """What zlib packed, of so many bytes and with nothing behind it.

    Raises
    ------
    ValueError
        If that is not so; no more is inflated than is needed to tell.
    """
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(f"it does not inflate: {error}") from error
    if len(content) != size or not inflater.eof or inflater.unused_data:
        raise ValueError(f"{len(packed)} bytes do not inflate to {size}")
    return content


class Cursor:
    """Reads what stands in some bytes, from the first to the last.

    Parameters
    ----------
    content : bytes
    what : str
        What they are, for errors.

    Raises
    ------
    DamagedSidecarError
        From every method, where the bytes end too early or hold no such number.
    """

    def __init__(self, content: bytes, what: str) -> None:
        self._content, self._what = content, what
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        part = self._content[self.at : self.at + count]
        if count < 0 or len(part) < count:
            raise DamagedSidecarError(
                f"{self._what} ends after {len(self._content)} bytes, where {count} more are "
                f"needed from byte {self.at} on"
            )
        self.at += count
        return part

    def peek(self, count: int) -> bytes:
        """The next bytes, or as many as there are, which are still to be taken."""
        return self._content[self.at : self.at + count]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """The next number that `varint` wrote."""
        value = 0
        for i in range(_MOST_BYTES):
            byte = self.byte()
            value |= (byte & 127) << 7 * i
            if byte < 128:
                return value
        raise DamagedSidecarError(f"{self._what} has a number of more than 63 bits at {self.at}")

    def inflated(self, size: int) -> bytes:
        """What comes next, deflated after its number of bytes, and is so many bytes in full."""
        packed = self.take(self.varint())
        try:
            return inflate(packed, size)
        except ValueError as error:
            raise DamagedSidecarError(f"{self._what} is damaged: {error}") from error

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._content) - self.at)

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self._content) - self.at

    def end(self) -> None:
        """Refuse bytes that nobody asked for."""
        if self.left:
            raise DamagedSidecarError(f"{self._what} has {self.left} bytes more than it needs")
