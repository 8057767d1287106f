"""The report of a batch: a row for each scene, in memory and as ``report.csv``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from xhsinr.errors import counted, printable
from xhsinr.folders import write
from xhsinr.storage import Place

__all__ = ["ArchiveReport", "Row", "write_table"]


@dataclass(frozen=True)
class Row:
    """What became of a scene.

    Attributes
    ----------
    id : str
    status : {"done", "skipped", "failed", "pending"}
        Compressed now, found finished, given up with an ``error``, or not come to.
    bytes, original_bytes : int or None
        Of the sidecar, and of the scene's samples.
    bpppb, psnr, rmse, max_error, mean_sam_deg : float or None
        Rate, and measured quality; ``psnr`` in dB, None if lossless; the mean spectral angle in
        degrees.
    seconds : float or None
        That the scene took.
    worker : str
        The process that did it: host and process id.
    peak_memory : int or None
        Largest resident set of that process so far, in bytes.
        Of a scene that was found finished: the figures of the run that made it.
    caution : str
        What of its quality to be wary of; empty if nothing is known.
    error : str
    """

    id: str
    status: str
    bytes: int | None = None
    original_bytes: int | None = None
    bpppb: float | None = None
    psnr: float | None = None
    rmse: float | None = None
    max_error: float | None = None
    mean_sam_deg: float | None = None
    seconds: float | None = None
    worker: str = ""
    peak_memory: int | None = None
    caution: str = ""
    error: str = ""


@dataclass(frozen=True, repr=False)
class ArchiveReport:
    """What became of a batch.

    Attributes
    ----------
    path : Path or str
        The report as a file, ``report.csv`` in the archive; a URL where that is one.
    rows : tuple of Row
        In the order of the source.
    """

    path: Place
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Every scene is in the archive, finished and verified."""
        return all(row.status in ("done", "skipped") for row in self.rows)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The scenes that were given up."""
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def cautions(self) -> tuple[Row, ...]:
        """The scenes whose quality is to be looked at."""
        return tuple(row for row in self.rows if row.caution)

    def __repr__(self) -> str:
        head, *rest = self.lines()
        return "\n".join([f"<xhsinr.ArchiveReport {head}>", *rest])

    def lines(self) -> list[str]:
        """What became of the scenes, for people: a line for all, and one for each trouble."""
        counts = Counter(row.status for row in self.rows)
        parts = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        stored = sum(row.bytes or 0 for row in self.rows)
        original = sum(row.original_bytes or 0 for row in self.rows)
        size = f"{original:,} bytes in {stored:,}" if stored else "nothing stored"
        errors = [f"  {row.id}: {printable(row.error)}" for row in self.failed]
        errors += [f"  {row.id}: caution: {printable(row.caution)}" for row in self.cautions]
        scenes = counted(len(self.rows), "scene")
        return [f"{self.path}: {scenes}, {parts or 'none'}; {size}", *errors]


def write_table(rows: Iterable[Any], kind: type[Any], place: Place) -> None:
    """Write dataclasses as CSV; the file appears under its name when it is complete."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(kind)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write(place, text.getvalue().encode("utf-8", "backslashreplace"))
