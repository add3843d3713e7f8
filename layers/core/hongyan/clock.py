"""Time as the contract shows it: UTC, milliseconds, RFC 3339."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer


def now() -> datetime:
    """Return the current time in UTC, cut to the millisecond that the database keeps."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def rfc3339(moment: datetime) -> str:
    """Format an aware time as ``2026-11-23T17:48:23.123Z`` (contract, Conventions)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
