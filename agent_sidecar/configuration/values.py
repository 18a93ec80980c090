"""Parsers of the settings that name places and hosts, and of the files that hold trust. All raise ValueError."""

import ipaddress
import re
from urllib.parse import parse_qs, urlsplit

from agent_sidecar.setting_parsers import file_content, text
from policy_core.grants import ANY_AUDIENCE
from policy_core.trust.layout import check_channel

MAX_ROOT_BYTES = 1 << 20
MAX_PORT = 65_535
MAX_HOST_LABELS = 64
MAX_HOST_ID_CHARS = 253
TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""What a fleet_store URL may name; anything else in it could switch a check or a time limit off."""

_HTTPS_HOST = re.compile(r"https://(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


def channel(value: object) -> str:
    """Return the name of a channel. Raises InvalidError too."""
    check_channel(text(value))
    return text(value)


def root(value: object) -> bytes:
    """Return the first TUF root of a file."""
    return file_content(value, max_bytes=MAX_ROOT_BYTES)


def listen_address(value: object) -> tuple[str, int]:
    """Return an address and a port."""
    address, colon, port = text(value).rpartition(":")
    address = address.strip("[]")
    if not colon or not _is_address(address) or not (port.isascii() and port.isdigit()) or int(port) > MAX_PORT:
        raise ValueError(f"is not an address and a port (expected for example 127.0.0.1:8181, found {value})")
    return address, int(port)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def host_labels(value: object) -> dict[str, str]:
    """Return labels of the host, seen by conditions as ``host.<name>``."""
    if not isinstance(value, dict) or not all(isinstance(label, str) for label in value.values()):
        raise ValueError('every label is a text (expected for example env = "prod")')
    if len(value) > MAX_HOST_LABELS:
        raise ValueError(f"too many labels (expected at most {MAX_HOST_LABELS}, found {len(value)})")
    return value


def host_id(value: object) -> str:
    """Return the name grants for this host are given to."""
    name = text(value)
    if len(name) > MAX_HOST_ID_CHARS or not name.isprintable() or name.split() != [name]:
        raise ValueError(f"is not a name (expected 1 to {MAX_HOST_ID_CHARS} printable characters without blanks)")
    if name == ANY_AUDIENCE:
        raise ValueError(f'"{ANY_AUDIENCE}" is every host')
    return name


def fleet_url(value: object) -> str:
    """Return the URL of a Redis database; what is wrong with one is said without repeating it."""
    url = text(value)
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("redis", "rediss") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # of urlsplit, whose message would show the password
        sound = False
        parts = urlsplit("")
    if not sound or not re.fullmatch(r"/?\d{0,4}", parts.path) or parts.fragment:
        raise ValueError("is not a Redis URL (expected for example redis://127.0.0.1:6379/0, or rediss:// for TLS)")
    unknown = sorted(parse_qs(parts.query, keep_blank_values=True).keys() - TLS_FILES)
    if unknown or (parts.query and parts.scheme == "redis"):
        raise ValueError(f"takes {', '.join(sorted(TLS_FILES))} with rediss:// and nothing else (found {unknown})")
    return url


def authzen_url(value: object) -> str:
    """Return the URL others reach AuthZEN's paths under, without a slash at its end."""
    url = text(value).removesuffix("/")
    if not _HTTPS_HOST.fullmatch(url):
        raise ValueError("is not https and a host (expected for example https://pdp.example.com)")
    return url
