"""Where finished segments and enrolled keys lie in a store, by what they hold. Pure.

dt=2026-03-01/hr=14/web-1-5d2f…-0000000000000001-0a1b2c3d4e5f.jsonl.gz       below the place logs are shipped to
hosts/web-1/<key id>.json                                                     below the fleet's records
"""

import hashlib
import re
from dataclasses import dataclass

from policy_core.decision_log.lines import SegmentHeader

DIGEST_CHARS = 12
HOSTS = "hosts/"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,79}")
_UNUSUAL = re.compile(r"[^A-Za-z0-9.-]")
_OBJECT = re.compile(
    r"dt=(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/hr=(?P<hour>[0-9]{2})/"
    r"(?P<host>[A-Za-z0-9._-]{1,120})-(?P<boot>[0-9a-f]{8,32})-(?P<seq>[0-9]{16})-(?P<digest>[0-9a-f]{12})\.jsonl\.gz"
)
_KEY = re.compile(HOSTS + r"(?P<host>[A-Za-z0-9._-]{1,120})/[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class SegmentName:
    """What the name of a shipped segment says of it; `host` is spelled as `spelled_host` does."""

    day: str
    hour: int
    host: str
    boot: str
    first_seq: int
    digest: str


def spelled_host(host: str) -> str:
    """Return a host's id as it stands in names: as it is, or without what names cannot hold and with a digest."""
    if _PLAIN.fullmatch(host):
        return host
    digest = hashlib.sha256(host.encode()).hexdigest()[:16]
    return f"h{_UNUSUAL.sub('-', host)[:60]}_{digest}"  # no plain one has an underscore, so no two hosts share a name


def segment_object(header: SegmentHeader, sha256: str) -> str:
    """Return the name a finished segment is shipped under; `sha256` is that of its bytes, 64 hex digits."""
    day, hour = header.opened_at[:10], header.opened_at[11:13]
    name = f"{spelled_host(header.host)}-{header.boot}-{header.first_seq:016}-{sha256[:DIGEST_CHARS]}"
    return f"dt={day}/hr={hour}/{name}.jsonl.gz"


def read_segment_name(name: str) -> SegmentName | None:
    """Return what the name of an object says; None for an object that is no segment."""
    found = _OBJECT.fullmatch(name)
    if not found:
        return None
    return SegmentName(
        found["day"], int(found["hour"]), found["host"], found["boot"], int(found["seq"]), found["digest"]
    )


def hour_folder(day: str, hour: int) -> str:
    """Return the beginning of the names of all segments that were opened in an hour of a UTC day."""
    return f"dt={day}/hr={hour:02}/"


def host_folder(host: str) -> str:
    """Return where the fleet's records keep what is known of a host, with the slash at its end."""
    return f"{HOSTS}{spelled_host(host)}/"


def key_object(host: str, keyid: str) -> str:
    """Return where the public key of a host is enrolled."""
    return f"{host_folder(host)}{keyid}.json"


def enrolled_host(name: str) -> str | None:
    """Return whose public key an object enrols, as spelled in names; None for any other record of a host."""
    found = _KEY.fullmatch(name)
    return found["host"] if found else None
