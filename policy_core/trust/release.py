"""A release: what was made live in a channel, as the one target of a signed channel role says it.

Its texts are printable ASCII on one line. Signatures are over canonical JSON, which clients in other languages spell
differently beyond that, and a line break in a reason would forge a trailer of a ledger commit.
"""

import re
from dataclasses import dataclass
from typing import Any

from tuf.api.metadata import TargetFile

from policy_core.trust.errors import MetadataError
from policy_core.trust.layout import is_bundle_name, target_path

SCHEMA = 1
MAX_TEXT_CHARS = 500
MAX_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly

PUBLISH = "publish"
PROMOTE = "promote"
ROLLBACK = "rollback"
EMERGENCY = "emergency"
_BRINGING_IN = frozenset({PUBLISH, PROMOTE})
MAX_REVIEWERS = 64

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ACTION = re.compile(r"[a-z][a-z_]{0,19}")
_TEXT = re.compile(r"[ -~]*")
_ORIGIN = re.compile(r"([a-z][a-z0-9-]{0,39}/[1-9][0-9]{0,15})?")
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of a channel. `sha256` and `length` (bytes) are of the bundle file, `revision` is its source commit.

    Digests are 64 lower-case hex digits; that of the provenance is empty where none was made. `origin` is where a
    promotion took it from, such as ``staging/41``; `reviewed_by` are the people, sorted, whose approvals of the merge
    were checked; `min_release` is the lowest release that people on call may still go back to. Raises MetadataError for
    a value that is not of its form.
    """

    channel: str
    release: int
    revision: str
    action: str
    reason: str
    actor: str
    name: str
    sha256: str
    length: int
    content_sha256: str
    policy_sha256: str
    provenance_sha256: str = ""
    origin: str = ""
    reviewed_by: tuple[str, ...] = ()
    min_release: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not have been published."""
        checks = {
            "release": _is_count(self.release) and self.release > 0,
            "length": _is_count(self.length),
            "revision": _matches(_REVISION, self.revision),
            "action": _matches(_ACTION, self.action),
            "reason": is_plain_text(self.reason),
            "actor": is_plain_text(self.actor),
            "name": is_bundle_name(self.name),
            "sha256": _matches(_SHA256, self.sha256),
            "content_sha256": _matches(_SHA256, self.content_sha256),
            "policy_sha256": _matches(_SHA256, self.policy_sha256),
            "provenance_sha256": self.provenance_sha256 == "" or _matches(_SHA256, self.provenance_sha256),
            "from": _matches(_ORIGIN, self.origin),
            "reviewed_by": _are_people(self.reviewed_by),
            "min_release": _is_count(self.min_release),
        }
        wrong = [field for field, holds in checks.items() if not holds]
        if wrong:
            raise MetadataError(f"release of channel {self.channel}: bad {', '.join(wrong)}")

    @property
    def brings_in(self) -> bool:
        """Tell whether it brought its revision into the channel, rather than going back or acting on what was there."""
        return self.action in _BRINGING_IN

    @property
    def path(self) -> str:
        """Return the target path of the bundle."""
        return target_path(self.channel, self.name)

    def custom(self) -> dict[str, Any]:
        """Return the signed `custom` part of the target; what is empty is absent."""
        optional = {
            "provenance_sha256": self.provenance_sha256,
            "from": self.origin,
            "reviewed_by": list(self.reviewed_by),
            "min_release": self.min_release,
        }
        return {
            "schema": SCHEMA,
            "release": self.release,
            "revision": self.revision,
            "content_sha256": self.content_sha256,
            "policy_sha256": self.policy_sha256,
            "action": self.action,
            "reason": self.reason,
            "actor": self.actor,
        } | {name: value for name, value in optional.items() if value}

    def target(self, **more: Any) -> TargetFile:
        """Return the target a channel role lists for this release; `more` is added to `custom`."""
        return TargetFile(self.length, {"sha256": self.sha256}, self.path, {"custom": self.custom() | more})

    @classmethod
    def from_target(cls, channel: str, target: TargetFile) -> "Release":
        """Read a release from a verified target; keys it does not know are ignored, a newer schema is refused.

        Raises MetadataError.
        """
        custom = target.custom
        where = f"release of channel {channel}"
        if not isinstance(custom, dict):
            raise MetadataError(f"{where}: target {target.path!r} has no custom part")
        if custom.get("schema") != SCHEMA:
            raise MetadataError(
                f"{where}: schema {custom.get('schema')!r} (expected {SCHEMA})",
                hint="this program is too old: update it",
            )
        prefix, suffix = f"{channel}/", ".tar.gz"
        if not target.path.startswith(prefix) or not target.path.endswith(suffix):
            raise MetadataError(f"{where}: target path {target.path!r} (expected {prefix}NAME{suffix})")
        fields = ("release", "revision", "content_sha256", "policy_sha256", "action", "reason", "actor")
        missing = [field for field in fields if field not in custom]
        if missing:
            raise MetadataError(f"{where}: {', '.join(missing)} missing")
        return cls(
            channel=channel,
            name=target.path[len(prefix) : -len(suffix)],
            sha256=target.hashes.get("sha256", ""),
            length=target.length,
            provenance_sha256=custom.get("provenance_sha256", ""),
            origin=custom.get("from", ""),
            reviewed_by=_tuple(custom.get("reviewed_by", [])),
            min_release=custom.get("min_release", 0),
            **{field: custom[field] for field in fields},
        )


def is_plain_text(text: object) -> bool:
    """Tell whether `text` is printable ASCII on one line, within the limit."""
    return isinstance(text, str) and len(text) <= MAX_TEXT_CHARS and _TEXT.fullmatch(text) is not None


def is_person(name: object) -> bool:
    """Tell whether `name` can stand for a person in what is signed: an owner of a key, or who reviewed."""
    return _matches(_PERSON, name)


def _are_people(names: object) -> bool:
    return (
        isinstance(names, tuple)
        and len(names) <= MAX_REVIEWERS
        and all(map(is_person, names))
        and list(names) == sorted(set(names))
    )


def _tuple(value: object) -> Any:
    """Return a list of JSON as a tuple, anything else as it is, which will be refused."""
    return tuple(value) if isinstance(value, list) else value


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
