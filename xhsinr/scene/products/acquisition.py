"""When, by what and as what a scene was taken, under the names that STAC has for it."""

from __future__ import annotations

import datetime
import re

__all__ = ["acquisition", "utc"]

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|UTC|[+-]\d\d:?\d\d)?", re.IGNORECASE
)


def utc(text: str | None) -> str | None:
    """A time in ISO 8601, in UTC with a final ``Z``; None if it is no time.

    The digits of the second stay as they are. A time without a zone is in UTC, as in all the
    products here.

    >>> utc("2022-07-24 10:45:26.123")
    '2022-07-24T10:45:26.123Z'
    >>> utc("2022-08-15T03:36:26-0200")
    '2022-08-15T05:36:26Z'
    """
    match = _TIME.fullmatch((text or "").strip())
    if match is None:
        return None
    day, clock, fraction, zone = match[1], match[2], match[3] or "", (match[4] or "Z").upper()
    try:
        time = datetime.datetime.fromisoformat(f"{day}T{clock}{zone.replace('UTC', 'Z')}")
        return f"{time.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
    except (ValueError, OverflowError):
        return None


def acquisition(
    start: str | None,
    end: str | None = None,
    *,
    product_id: str | None = None,
    platform: str | None = None,
    instrument: str | None = None,
) -> dict[str, str]:
    """Attributes of a scene for what its product states, without those that it does not.

    Parameters
    ----------
    start, end : str, optional
        Times as `utc` takes them. ``start`` becomes ``datetime``; both become
        ``start_datetime`` and ``end_datetime``.
    product_id, platform, instrument : str, optional
        Under these names.
    """
    first, last = utc(start), utc(end)
    found = {
        "datetime": first,
        "start_datetime": first if last else None,
        "end_datetime": last if first else None,
        "product_id": product_id,
        "platform": platform,
        "instrument": instrument,
    }
    return {name: value for name, value in found.items() if value}
