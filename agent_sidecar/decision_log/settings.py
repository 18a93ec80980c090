"""The table ``[log]`` of a configuration: how sure a decision is to be remembered, and what it may cost."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent_sidecar.setting_parsers import between, one_of, records_url, table

MIN_BYTES, DEFAULT_BYTES, MAX_BYTES = 16 << 20, 1 << 30, 1 << 44
MIN_SHIP_S, DEFAULT_SHIP_S, MAX_SHIP_S = 1.0, 60.0, 86_400.0
_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d{1,9})(MB|GB|MiB|GiB)")


class Durability(StrEnum):
    """What a decision survives once its answer has left: its process, its host, or nothing (there is no log)."""

    PROCESS = "process"
    HOST = "host"
    OFF = "off"


class WhenFull(StrEnum):
    """What happens if there is no room for a record: every answer is deny, or the oldest records are given up."""

    BLOCK = "block"
    DROP_OLDEST = "drop-oldest"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The settings of the decision log; `ship` is a store, empty if nothing is shipped.

    What is shipped nowhere stays here, so the oldest must go at some time: else every host would deny in the end.
    """

    durability: Durability = Durability.PROCESS
    when_full: WhenFull = WhenFull.DROP_OLDEST
    max_bytes: int = DEFAULT_BYTES
    ship: str = ""
    ship_every_s: float = DEFAULT_SHIP_S


def size(value: object) -> int:
    """Return bytes of ``512MiB``, ``2GB`` and the like."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"not a size (expected for example 512MiB or 2GB, found {value!r})")
    size_bytes = int(found[1]) * _UNITS[found[2]]
    if not MIN_BYTES <= size_bytes <= MAX_BYTES:
        raise ValueError(f"out of range (expected 16MiB to 16384GiB, found {value})")
    return size_bytes


_parse = table(
    {
        "durability": one_of(*Durability),
        "when_full": one_of(*WhenFull),
        "max_bytes": size,
        "ship": records_url,
        "ship_every": between(MIN_SHIP_S, MAX_SHIP_S),
    }
)


def log_settings(value: object) -> LogSettings:
    """Return what a configuration's table ``[log]`` says. Raises ValueError."""
    found: dict[str, Any] = _parse(value)
    ship = found.get("ship", "")
    settings = LogSettings(
        durability=Durability(found.get("durability", Durability.PROCESS)),
        when_full=WhenFull(found.get("when_full", WhenFull.BLOCK if ship else WhenFull.DROP_OLDEST)),
        max_bytes=found.get("max_bytes", DEFAULT_BYTES),
        ship=ship,
        ship_every_s=found.get("ship_every", DEFAULT_SHIP_S),
    )
    if ship and settings.durability is Durability.OFF:
        raise ValueError('ship: there is nothing to ship (durability is "off")')
    if "ship_every" in found and not ship:
        raise ValueError("ship_every: nothing is shipped (expected ship beside it)")
    return settings
