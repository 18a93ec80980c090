"""Emergency entries as rules and revocations: the one reading of them that those who sign and hosts share.

A deny is signed as one rule in JSON, in one spelling: all it may say of its own is when it applies. Whatever else a
rule could say (a rate, errors that are skipped, another decision, another document's name) is refused.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from policy_core.decision import EMERGENCY_DENY
from policy_core.errors import InvalidError
from policy_core.matcher import Matcher, decode_rules, encode_rules
from policy_core.matcher.tightening import Overlay, TightenedMatcher
from policy_core.model import EMERGENCY_DOCUMENT, Clauses, Condition, Decision, Rule, TimeWindow
from policy_core.revoking import Revoked
from policy_core.trust.oncall import MAX_EMERGENCY_LIFETIME, Emergency, EmergencyKind

_SKEW = timedelta(days=1)


class EmergencyError(InvalidError):
    """An emergency entry that this version cannot read; its update is refused, and what was in force stays."""

    default_hint = "lift the entry with a newer on-call document, or update this program"


def encode_deny(
    entry_id: str, *, reason: str, match: Clauses, unless: Clauses | None = None, when: Condition | None = None
) -> str:
    """Return the `rule` of a deny as it is signed, in ASCII; `check_entries` says whether hosts can read the entry."""
    return _text(_deny(entry_id, reason, match, unless, when))


def clauses_of(entry: Emergency) -> dict[str, Any]:
    """Return when a deny applies, as JSON objects by ``match``, ``unless`` and ``when``. Raises EmergencyError."""
    _rule(entry)
    written: dict[str, Any] = json.loads(entry.rule)
    return {name: written[name] for name in ("match", "unless", "when") if name in written}


def in_force(entries: Iterable[Emergency], now: float) -> tuple[Emergency, ...]:
    """Return the entries that have not expired at host time `now`."""
    return tuple(entry for entry in entries if now < entry.expires.timestamp())


def check_entries(entries: Iterable[Emergency]) -> None:
    """Raise EmergencyError, naming the entry, unless a host of this version can enforce every entry."""
    overlay_of(entries)


def check_times(entries: Iterable[Emergency], now: float) -> None:
    """Raise EmergencyError for an entry that at `now` has a longer life before it than any may: one made for later."""
    latest = now + (MAX_EMERGENCY_LIFETIME + _SKEW).total_seconds()
    for entry in entries:
        if entry.expires.timestamp() > latest:
            days = MAX_EMERGENCY_LIFETIME.days
            raise EmergencyError(f"emergency entry {entry.id}: would hold for more than {days} days")


def overlay_of(entries: Iterable[Emergency]) -> Overlay:
    """Return what entries put over a policy; each deny ends by itself, to the second. Raises EmergencyError."""
    denies: list[Rule] = []
    targets: dict[EmergencyKind, set[str]] = {kind: set() for kind in EmergencyKind}
    for entry in entries:
        if entry.kind is EmergencyKind.DENY:
            denies.append(_ending(entry))
        else:
            targets[entry.kind].add(entry.target)
    revoked = Revoked(
        exceptions=frozenset(targets[EmergencyKind.REVOKE_EXCEPTION]),
        approvers=frozenset(targets[EmergencyKind.REVOKE_APPROVER]),
        grants=frozenset(target.lower() for target in targets[EmergencyKind.REVOKE_GRANT]),
    )
    return Overlay(denies=tuple(denies), revoked=revoked)


def targets_of(matcher: Matcher) -> dict[EmergencyKind, frozenset[str]]:
    """Return what there is to revoke in a loaded policy, by kind; grants are not part of one."""
    base = matcher.base if isinstance(matcher, TightenedMatcher) else matcher
    return {
        EmergencyKind.REVOKE_EXCEPTION: frozenset(each.id for each in base.provisions.exceptions),
        EmergencyKind.REVOKE_APPROVER: frozenset(each.id for each in base.provisions.approvers),
    }


def _ending(entry: Emergency) -> Rule:
    """Return the rule of a deny, which no request from `expires` on matches."""
    rule = _rule(entry)
    window = rule.match.time or TimeWindow()
    expires = int(entry.expires.timestamp())
    before = expires if window.before is None else min(window.before, expires)
    ending = msgspec.structs.replace(window, before=before)
    rule = msgspec.structs.replace(rule, match=msgspec.structs.replace(rule.match, time=ending))
    try:
        for _ in decode_rules(encode_rules([rule])):
            pass
    except InvalidError as error:
        raise EmergencyError(f"emergency entry {entry.id}: {error.message}") from error
    return rule


def _rule(entry: Emergency) -> Rule:
    where = f"emergency entry {entry.id}"
    if entry.kind is not EmergencyKind.DENY:
        raise EmergencyError(f"{where}: {entry.kind} has no rule")
    try:
        rule = msgspec.json.decode(entry.rule, type=Rule)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise EmergencyError(f"{where}: not a rule of a known form: {error}") from error
    plain = _deny(entry.id, entry.reason, rule.match, rule.unless, rule.when)
    if rule != plain:
        other = [name for name in rule.__struct_fields__ if getattr(rule, name) != getattr(plain, name)]
        raise EmergencyError(f"{where}: its rule is no plain deny ({', '.join(other)})")
    if _text(rule) != entry.rule:
        raise EmergencyError(f"{where}: its rule is not in the one spelling that is signed")
    return rule


def _deny(entry_id: str, reason: str, match: Clauses, unless: Clauses | None, when: Condition | None) -> Rule:
    return Rule(
        policy=EMERGENCY_DOCUMENT, id=entry_id, decision=Decision.DENY, match=match, unless=unless, when=when,
        reason=reason, reason_code=EMERGENCY_DENY,
    )  # fmt: skip


def _text(rule: Rule) -> str:
    return json.dumps(msgspec.to_builtins(rule), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
