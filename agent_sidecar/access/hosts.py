"""Which host a request on TCP may be for: a web page can have its own name resolve to this machine (DNS rebinding).

Its requests then carry its name as ``Host``, and their ``Origin``. Names are compared without their port, which a
forwarder may change.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from agent_sidecar.setting_parsers import text

MAX_ENTRIES = 64
LOOPBACK_NAMES = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})

_HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_NAME = re.compile(r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]{1,280}")


def host_of(header: bytes) -> bytes | None:
    """Return the name or address in a ``Host`` header, in lower case; None if it is neither."""
    found = _HOST.fullmatch(header)
    return found[1].lower().removesuffix(b".") if found else None


def as_host(address: str) -> bytes:
    """Return an address as a ``Host`` header has it: without its zone, and IPv4 as such where IPv6 carries it."""
    plain = address.partition("%")[0].lower()
    found = ipaddress.IPv6Address(plain).ipv4_mapped if ":" in plain else None
    return (str(found) if found else f"[{plain}]" if ":" in plain else plain).encode()


def host_of_url(url: str) -> bytes:
    """Return the host of a URL, as a ``Host`` header has it; empty if there is none."""
    return as_host(urlsplit(url).hostname or "")


def host_names(value: object) -> frozenset[bytes]:
    """Return the names of ``hosts``. Raises ValueError."""
    return frozenset(each.encode() for each in _texts(value, _NAME, "pdp.example.com"))


def origins(value: object) -> frozenset[bytes]:
    """Return the origins of ``origins``. Raises ValueError."""
    return frozenset(each.encode() for each in _texts(value, _ORIGIN, "https://console.example.com"))


def _texts(value: object, form: "re.Pattern[str]", example: str) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
        raise ValueError(f"is not a list of 1 to {MAX_ENTRIES} texts")
    for each in value:
        if not form.fullmatch(text(each)):
            raise ValueError(f"{each!r} cannot be used (expected for example {example}, in lower case)")
    return value
