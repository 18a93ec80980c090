"""Table ``[limits]``: how much one peer, and all of them, may take.

No setting lifts a limit; each has a hard maximum.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent_sidecar.setting_parsers import MistakesError, between, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds; connections are those of one socket in one process.

    `connections_per_caller` is per user id on a Unix socket and per address (IPv6: /64) on TCP. `header_time_s` bounds
    a TLS handshake too, and how long a TCP connection may wait before its first request.
    """

    header_bytes: int = 16 << 10
    headers: int = 64
    body_bytes: int = 1 << 20
    header_time_s: float = 10.0
    body_time_s: float = 10.0
    idle_s: float = 75.0
    connections: int = 1024
    connections_per_caller: int = 512
    drain_s: float = 5.0

    @property
    def request_bytes(self) -> int:
        """Return how large a request may be with its chunk framing and trailers, which are no part of the body."""
        return 4 * self.body_bytes


STANDARD = Limits()


def limits(value: object) -> Limits:
    """Return the limits of a table ``[limits]``. Raises ValueError."""
    found = _TABLE(value)
    made = Limits(**{_FIELDS.get(key, key): number for key, number in found.items()})
    if "connections_per_caller" in found and made.connections_per_caller > made.connections:
        raise MistakesError(["connections_per_caller: is more than connections"])
    return made


def _within(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"out of range (expected {least} to {most}, found {value!r})")
        return value

    return parse


_FIELDS = {"header_time": "header_time_s", "body_time": "body_time_s", "idle": "idle_s", "drain": "drain_s"}
_TABLE = table(
    {
        "header_bytes": _within(1 << 10, 64 << 10),
        "headers": _within(8, 256),
        "body_bytes": _within(1 << 10, 16 << 20),
        "header_time": between(1.0, 60.0),
        "body_time": between(1.0, 60.0),
        "idle": between(1.0, 600.0),
        "connections": _within(1, 16_384),
        "connections_per_caller": _within(1, 16_384),
        "drain": between(0.1, 60.0),
    }
)
