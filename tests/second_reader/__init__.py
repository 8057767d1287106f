"""A reader of sidecars, written from docs/format.md alone: nothing of the package."""

from second_reader.frame import crc32c, dictionary, read
from second_reader.scene import decode

__all__ = ["crc32c", "decode", "dictionary", "read"]
