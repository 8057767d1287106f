"""Archives: folders of compressed scenes with a STAC catalog, made and looked after in batches."""

from xhsinr.archiving.batch import archive
from xhsinr.archiving.check import ArchiveCheck, restore, verify_archive
from xhsinr.archiving.table import ArchiveReport, Row

__all__ = ["ArchiveCheck", "ArchiveReport", "Row", "archive", "restore", "verify_archive"]
