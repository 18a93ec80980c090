"""What one person on call may sign for a channel: going back to what its threshold signed before, and tightening.

The role ``<channel>.oncall`` lists no targets; what it says is one signed field. Each version of it is a release of the
channel: it takes the next number, names one of the bundles that the channel role offers as `selectable`, and holds the
emergency entries in force. So a single key can neither bring anything new onto a host nor loosen what is there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tuf.api.metadata import TargetFile, Targets

from policy_core.trust.errors import MetadataError
from policy_core.trust.layout import ONCALL, format_time, parse_time, target_path
from policy_core.trust.release import EMERGENCY, MAX_INTEGER, ROLLBACK, Release, is_plain_text

SCHEMA = 1
MAX_SELECTABLE = 8
MAX_AHEAD = 1_000  # releases an on-call document may be above the channel's own: it cannot use up the numbers
MAX_EMERGENCIES = 64
MAX_EMERGENCY_LIFETIME = timedelta(days=30)
MAX_RULE_CHARS = 16_384

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TARGET = re.compile(r"[!-~]{0,256}")
_RULE = re.compile(r"[ -~]*")


class EmergencyKind(StrEnum):
    """What an emergency entry does; all of them tighten."""

    DENY = "deny"
    REVOKE_EXCEPTION = "revoke_exception"
    REVOKE_GRANT = "revoke_grant"
    REVOKE_APPROVER = "revoke_approver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """One emergency entry, in force from when it is seen until `expires` (aware).

    A deny has `rule`, one rule as JSON in ASCII; a revocation has `target`, the id of what it takes back. Raises
    MetadataError for a value that is not of its form, or a life longer than `MAX_EMERGENCY_LIFETIME`.
    """

    id: str
    kind: EmergencyKind
    target: str = ""
    rule: str = ""
    reason: str
    actor: str
    created: datetime
    expires: datetime

    def __post_init__(self) -> None:
        """Refuse what could not have been signed."""
        checks = {
            "id": _matches(_ID, self.id),
            "target": _matches(_TARGET, self.target) and (self.target == "") == (self.kind is EmergencyKind.DENY),
            "rule": _matches(_RULE, self.rule)
            and len(self.rule) <= MAX_RULE_CHARS
            and (self.rule != "") == (self.kind is EmergencyKind.DENY),
            "reason": is_plain_text(self.reason) and self.reason != "",
            "actor": is_plain_text(self.actor),
            "expires": timedelta() < self.expires - self.created <= MAX_EMERGENCY_LIFETIME,
        }
        wrong = [field for field, holds in checks.items() if not holds]
        if wrong:
            raise MetadataError(f"emergency entry: bad {', '.join(wrong)}")

    def custom(self) -> dict[str, str]:
        """Return the entry as it is signed."""
        optional = {"target": self.target, "rule": self.rule}
        return {
            "id": self.id,
            "kind": self.kind.value,
            "reason": self.reason,
            "actor": self.actor,
            "created": format_time(self.created),
            "expires": format_time(self.expires),
        } | {name: value for name, value in optional.items() if value}

    @classmethod
    def from_custom(cls, found: object) -> "Emergency":
        """Read an entry of verified metadata; raises MetadataError, also for a kind this version does not know."""
        required = {"id", "kind", "reason", "actor", "created", "expires"}
        if not isinstance(found, Mapping) or not required <= found.keys() <= required | {"target", "rule"}:
            raise MetadataError("emergency entry: not of the known form", hint="this program is too old: update it")
        try:
            kind = EmergencyKind(found["kind"])
        except ValueError as error:
            raise MetadataError(
                f"emergency entry: unknown kind {found['kind']!r}", hint="this program is too old: update it"
            ) from error
        times = {name: parse_time(found[name]) for name in ("created", "expires")}
        return cls(**{**found, **times, "kind": kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class OncallDocument:
    """What a version of the on-call role says; `selected` is the SHA-256 of the bundle that is to be live.

    Raises MetadataError for a value that is not of its form.
    """

    release: int
    selected: str
    action: str
    reason: str
    actor: str
    emergency: tuple[Emergency, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could not have been signed; the rest is checked where it becomes a release."""
        ids = [entry.id for entry in self.emergency]
        if type(self.release) is not int or not 0 < self.release <= MAX_INTEGER:
            raise MetadataError("on-call role: bad release")
        if self.action not in (ROLLBACK, EMERGENCY):
            raise MetadataError(f"on-call role: action {self.action!r} (expected {ROLLBACK} or {EMERGENCY})")
        if len(ids) > MAX_EMERGENCIES or len(set(ids)) < len(ids):
            raise MetadataError(f"on-call role: emergency entries with one id, or more than {MAX_EMERGENCIES}")

    def signed_field(self) -> dict[str, Any]:
        """Return the signed field `ONCALL`."""
        return {
            "schema": SCHEMA,
            "release": self.release,
            "selected": self.selected,
            "action": self.action,
            "reason": self.reason,
            "actor": self.actor,
            "emergency": [entry.custom() for entry in self.emergency],
        }

    @classmethod
    def from_role(cls, role: Targets) -> "OncallDocument | None":
        """Read a verified on-call role, None if it says nothing yet; raises MetadataError if it lists targets."""
        if role.targets or role.delegations is not None:
            raise MetadataError("on-call role: lists targets, which only a channel may")
        found = role.unrecognized_fields.get(ONCALL)
        if found is None:
            return None
        keys = {"schema", "release", "selected", "action", "reason", "actor", "emergency"}
        if not isinstance(found, Mapping) or found.get("schema") != SCHEMA or found.keys() != keys:
            raise MetadataError("on-call role: not of the known form", hint="this program is too old: update it")
        if not isinstance(found["emergency"], list):
            raise MetadataError("on-call role: bad emergency")
        entries = tuple(map(Emergency.from_custom, found["emergency"]))
        values = {name: found[name] for name in ("release", "selected", "action", "reason", "actor")}
        return cls(**values, emergency=entries)


def select(document: OncallDocument, listed: Release | None, selectable: Sequence[Release]) -> Release | None:
    """Return what is live: the channel's own release, or what on call selected if that has the higher number.

    Raises MetadataError for a selection among what the channel role does not offer, or too far ahead of it.
    """
    own = listed.release if listed else 0
    if document.release <= own:
        return listed
    if document.release > own + MAX_AHEAD:
        raise MetadataError(f"on-call role: release {document.release} is too far ahead of the channel's {own}")
    for offered in selectable:
        if offered.sha256 == document.selected:
            return replace(
                offered,
                release=document.release,
                action=document.action,
                reason=document.reason,
                actor=document.actor,
            )
    raise MetadataError("on-call role: selects a bundle that the channel does not offer")


def selectable_of(channel: str, target: TargetFile) -> tuple[Release, ...]:
    """Return the releases that on call may select, newest first, as a verified target of the channel lists them.

    Raises MetadataError. Metadata without such a list offers its own release.
    """
    own = Release.from_target(channel, target)
    found = target.custom.get("selectable") if target.custom else None
    if found is None:
        return (own,)
    if not isinstance(found, list) or len(found) > MAX_SELECTABLE - 1:
        raise MetadataError(f"release of channel {channel}: bad selectable")
    return own, *(_earlier(channel, each, own) for each in found)


def offer(release: Release, before: Sequence[Release]) -> list[dict[str, Any]]:
    """Return the `selectable` part of a target: what was selectable `before`.

    The release's own bundle is left out, and what lies below its `min_release`.
    """
    earlier = [each for each in before if each.sha256 != release.sha256 and each.release >= release.min_release]
    earlier = earlier[: MAX_SELECTABLE - 1]
    return [{**each.custom(), "name": each.name, "sha256": each.sha256, "length": each.length} for each in earlier]


def _earlier(channel: str, found: object, own: Release) -> Release:
    try:
        if isinstance(found, Mapping):
            custom = {name: value for name, value in found.items() if name not in {"name", "sha256", "length"}}
            path = target_path(channel, found["name"])
            target = TargetFile(found["length"], {"sha256": found["sha256"]}, path, {"custom": custom})
            release = Release.from_target(channel, target)
            if release.release < own.release:
                return release
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MetadataError(f"release of channel {channel}: bad selectable") from error
    raise MetadataError(f"release of channel {channel}: bad selectable")


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
