"""Where everything lies below a store's prefix, how long it may be, and how times are written. Pure.

``metadata/timestamp.json`` is the only object that changes; numbered metadata, bundles and provenance never do.
"""

import re
from datetime import UTC, datetime

from policy_core.errors import InvalidError
from policy_core.trust.errors import MetadataError

TIMESTAMP = "metadata/timestamp.json"
ROOT_FILE = "trust/root.json"
"""Path of the first root in the policy repository: what hosts are given by hand."""

MAX_ROOT_BYTES = 512_000
MAX_TIMESTAMP_BYTES = 16_384
MAX_SNAPSHOT_BYTES = 2_000_000
MAX_TARGETS_BYTES = 5_000_000  # of the targets role and of each channel role
MAX_PROVENANCE_BYTES = 65_536
MAX_PENDING_BYTES = 6_000_000
MAX_ROOT_ROTATIONS = 256

SIGNED_AT = "x-signed-at"
PREVIOUS = "x-previous"
ONCALL = "x-oncall"
OWNER = "x-owner"
"""Field of a public key: whose it is, for keys of people."""

TOP_LEVEL_ROLES = frozenset({"root", "targets", "snapshot", "timestamp"})
MAX_CHANNEL_CHARS = 40

_CHANNEL = re.compile(r"[a-z][a-z0-9-]*")
_BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class ChannelNameError(InvalidError):
    """A channel name that could be mistaken for a role, a path or an option."""

    default_hint = f"use lower-case letters, digits and '-', starting with a letter, {MAX_CHANNEL_CHARS} at most"


def check_channel(name: str) -> str:
    """Return `name` if it can be a channel; raises ChannelNameError otherwise."""
    if name in TOP_LEVEL_ROLES:
        raise ChannelNameError(f"channel {name!r}: is the name of a TUF role")
    if name.endswith("-oncall"):  # WRIT_SIGNER_PROD_ONCALL would be the signer of both
        raise ChannelNameError(f"channel {name!r}: could be mistaken for an on-call role")
    if not is_channel(name):
        raise ChannelNameError(f"channel {name[:MAX_CHANNEL_CHARS]!r}: not a channel name")
    return name


def is_channel(name: str) -> bool:
    """Tell whether a role's name is that of a channel: neither a top-level role nor an on-call role."""
    return name not in TOP_LEVEL_ROLES and len(name) <= MAX_CHANNEL_CHARS and _CHANNEL.fullmatch(name) is not None


def is_bundle_name(name: str) -> bool:
    """Tell whether `name` can stand in a target path."""
    return _BUNDLE_NAME.fullmatch(name) is not None


def metadata_name(role: str, version: int) -> str:
    """Return the object name of a numbered metadata file."""
    return f"metadata/{version}.{role}.json"


def oncall_role(channel: str) -> str:
    """Return the name of a channel's on-call role, which no channel can have."""
    return f"{channel}.oncall"


def is_oncall(name: str) -> bool:
    """Tell whether a role's name is that of a channel's on-call role."""
    channel, dot, _ = name.partition(".")
    return bool(dot) and name == oncall_role(channel) and is_channel(channel)


def pending_object(channel: str, version: int) -> str:
    """Return the object name of what waits for signatures to become that version of the channel role."""
    return f"pending/{channel}/{version}.json"


def target_path(channel: str, bundle_name: str) -> str:
    """Return the path a channel role lists its bundle under."""
    return f"{channel}/{bundle_name}.tar.gz"


def target_object(channel: str, bundle_name: str, sha256: str) -> str:
    """Return the object name of a bundle: TUF's consistent form of its target path."""
    return f"targets/{channel}/{sha256}.{bundle_name}.tar.gz"


def provenance_object(channel: str, bundle_name: str, sha256: str) -> str:
    """Return the object name of a provenance file, whose own digest is `sha256`."""
    return f"targets/{channel}/{sha256}.{bundle_name}.provenance.json"


def format_time(moment: datetime) -> str:
    """Return an aware time as metadata spells it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime(_TIME_FORMAT)


def parse_time(text: object) -> datetime:
    """Return the aware time of a signed field; raises MetadataError if it is none."""
    try:
        if isinstance(text, str):
            return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise MetadataError(f"signed time {text!r}: not of the form 2026-03-01T12:00:00Z")
