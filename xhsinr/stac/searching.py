"""The scenes that a STAC API finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pystac

from xhsinr.errors import SourceError
from xhsinr.stac.walking import Found, found_in, is_remote
from xhsinr.storage import BUSY

__all__ = ["Search", "search"]

_TIMEOUT = 20.0, 60.0
_RETRIES = 5


@dataclass(frozen=True)
class Search:
    """What to ask a STAC API for.

    Attributes
    ----------
    collections : tuple of str
    bbox : tuple of float, optional
        West, south, east, north in degrees.
    datetime : str, optional
        A moment or an interval, in pystac-client's words: ``"2024-06"``, ``"2024-06-01/.."``.
    """

    collections: tuple[str, ...] = ()
    bbox: tuple[float, ...] | None = None
    datetime: str | None = None

    def __bool__(self) -> bool:
        return bool(self.collections or self.bbox or self.datetime)


def search(api: str, asked: Search) -> Iterator[Found]:
    """The items that an API finds, page by page.

    Raises
    ------
    SourceError
        If it does not answer, or not in the way of a STAC API: what is missing would not be known.
    """
    if not is_remote(api):
        raise SourceError(f"{api}: a collection, bbox or datetime is for the URL of a STAC API")
    try:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO
        from urllib3 import Retry
    except ImportError as error:
        raise SourceError(f"{api}: to search it, pip install 'xhsinr[remote]'") from error
    patient = Retry(
        _RETRIES, connect=2, backoff_factor=0.5, status_forcelist=BUSY, allowed_methods=None
    )
    try:
        client = Client.open(api, stac_io=StacApiIO(timeout=_TIMEOUT, max_retries=patient))

        @lru_cache
        def collection(name: str | None) -> pystac.Collection | None:
            return client.get_collection(name) if name else None

        items = client.search(
            collections=list(asked.collections) or None, bbox=asked.bbox, datetime=asked.datetime
        )
        for number, item in enumerate(items.items_as_dicts()):
            found = found_in(item, f"{api}#{number}")
            yield found._replace(collection=collection(item.get("collection")))
    except Exception as error:  # of requests, pystac-client and whatever the API sends
        raise SourceError(f"{api} cannot be searched: {type(error).__name__}: {error}") from error
