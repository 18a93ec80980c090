"""The ``approvers`` of ``writ.yaml``: whose grants count, for which teams, and which subjects these people are.

Who approves is part of the policy, so that a host knows it from the verified bundle and from nowhere else.
"""

import re
from collections.abc import Iterator

from builder.language import fields
from builder.language.nodes import ListNode, MapNode, Node, Report, ScalarNode
from policy_core.grants import is_weak_key
from policy_core.model import Approver

MAX_APPROVERS = 1_000
_KEYS = ("key", "teams", "subjects")
_HINT = "write {key: 64 HEX DIGITS, teams: [security], subjects: [ana]}; `writ keys approver NAME` makes such an entry"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
NAME_ALLOWED = "letters, digits, '.', '_', '@' and '-', starting with a letter or digit"
_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")


def read_approvers(report: Report, node: Node) -> tuple[Approver, ...]:
    """Return the approvers, sorted by id, as far as they can be read."""
    found = fields.mapping(report, node, "approvers")
    if found is None:
        return ()
    if len(found.entries) > MAX_APPROVERS:
        report.at(node, f"too many approvers ({len(found.entries)}, limit {MAX_APPROVERS})")
    return tuple(sorted(_approvers(report, found), key=lambda approver: approver.id))


def read_names(report: Report, node: Node, what: str) -> tuple[str, ...]:
    """Return a list of names of people or teams."""
    found = fields.strings(report, node, what)
    for item in node.items if type(node) is ListNode else ():
        if type(item) is ScalarNode and type(item.value) is str and item.value:
            fields.identifier(report, item, f"entry of {what}", NAME, NAME_ALLOWED)
    return found


def _approvers(report: Report, found: MapNode) -> Iterator[Approver]:
    owners: dict[str, str] = {}
    for name, (place, value) in found.entries.items():
        what = f"approvers.{name}"
        fields.identifier(report, place, "approver", NAME, NAME_ALLOWED)
        entry = fields.mapping(report, value, what)
        if entry is None:
            continue
        fields.check_keys(report, entry, what, _KEYS)
        key, teams, subjects = (fields.require(report, entry, each, what, _HINT) for each in _KEYS)
        allowed = "the 64 lower-case hex digits of an Ed25519 public key"
        public = key and fields.identifier(report, key, f"{what}.key", _PUBLIC_KEY, allowed)
        if key and public and is_weak_key(bytes.fromhex(public)):
            report.at(key, f"{what}.key is no secret's public half: anybody could sign for it", _HINT)
        if key and public and public in owners:
            report.at(key, f"{what} has the key of {owners[public]}", "let every person have a key of their own")
        if public:
            owners.setdefault(public, name)
        yield Approver(
            id=name,
            key=public or "",
            teams=read_names(report, teams, f"{what}.teams") if teams else (),
            subjects=fields.words(report, subjects, f"{what}.subjects") if subjects else (),
        )
