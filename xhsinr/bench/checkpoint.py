"""A table on disk that grows a row at a time; what is in it is not measured again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from xhsinr.errors import HsinrError
from xhsinr.outputs import replacing

__all__ = ["Checkpoint", "Row"]

Row = dict[str, str]


class Checkpoint:
    """Rows of a CSV file, by what identifies them.

    Parameters
    ----------
    path : Path
        Read if it is there; rewritten whole, and renamed into place, with every row added.
    columns : sequence of str
    identity : sequence of str
        Columns that tell one row from another.
    """

    def __init__(self, path: Path, columns: Sequence[str], identity: Sequence[str]) -> None:
        self._path, self._columns, self._identity = path, list(columns), list(identity)
        self._rows: dict[tuple[str, ...], Row] = {}
        if path.is_file():
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                if list(reader.fieldnames or []) != self._columns:
                    raise HsinrError(f"{path} has other columns: move it away, or choose another")
                self._rows = {self._key(row): row for row in reader}

    def __contains__(self, row: Row) -> bool:
        return self._key(row) in self._rows

    def find(self, row: Row) -> Row | None:
        """The stored row with the same identity."""
        return self._rows.get(self._key(row))

    def rows(self) -> list[Row]:
        """All rows, those that were there before first."""
        return list(self._rows.values())

    def add(self, row: Row) -> None:
        self._rows[self._key(row)] = row
        with replacing(self._path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows.values())

    def _key(self, row: Row) -> tuple[str, ...]:
        return tuple(row[column] for column in self._identity)
