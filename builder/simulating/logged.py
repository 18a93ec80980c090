"""Segments of decision logs as a corpus: what was decided on hosts is decided again.

A decision becomes a request at the minute it was made in, on a host with the same labels; so what agents ask over and
over is decided once for each minute. A record without the whole request cannot be decided again, and is passed over, as
are records of other types.
"""

from typing import Any

_MINUTE_CHARS = len("2026-03-01T12:00")


def is_logged(value: dict[str, Any]) -> bool:
    """Tell whether a decoded line is one of a decision log."""
    return type(value.get("type")) is str and ("record_hash" in value or value.get("type") == "segment")


def envelope_of(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return the envelope of the request that a line of a decision log records; None for one that records none."""
    whole = value["type"] == "decision" and "input" in value and not value.get("erased")
    ts = value.get("ts")
    if not whole or type(ts) is not str:
        return None
    envelope: dict[str, Any] = {"request": value["input"], "now": f"{ts[:_MINUTE_CHARS]}:00Z"}
    if "host" in value:
        envelope["host"] = value["host"]
    return envelope
