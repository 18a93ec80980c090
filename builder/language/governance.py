"""The ``governance`` of ``writ.yaml``: what a repository demands of its policies and exceptions beyond being valid.

Reading it is here; holding a tree to it is `builder.governing`, as the governance that counts is the one that is live.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.language import fields
from builder.language.approvals import read_quorum
from builder.language.approvers import NAME, NAME_ALLOWED, read_names
from builder.language.metadata import KEYS as METADATA_KEYS
from builder.language.nodes import ListNode, Node, Report
from builder.language.path_approvals import NO_APPROVALS, PathApprovals, read_path_approvals

DEFAULT_EXCEPTION_DAYS = 90
MAX_DAYS = 3_650
MAX_APPROVALS = 16
_KEYS = ("required_metadata", "teams", "exceptions", "policies", "approvals", "signers")


@dataclass(frozen=True, slots=True)
class Governance:
    """What is demanded: metadata keys, how long exceptions and policies (None: for ever) may live, and who approves.

    `exception_approvals` is how many members of each team must have approved an exception; `teams` says who they are.
    `path_approvals` is about the commits that change a path.
    """

    required_metadata: tuple[str, ...] = ()
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exception_days: int = DEFAULT_EXCEPTION_DAYS
    exception_approvals: Mapping[str, int] = field(default_factory=dict)
    policy_days: int | None = None
    path_approvals: PathApprovals = NO_APPROVALS


NO_GOVERNANCE = Governance()
"""What holds where nothing is said: exceptions have a cap all the same."""


def read_governance(report: Report, node: Node) -> Governance:
    """Return what is demanded, as far as it can be read."""
    found = fields.mapping(report, node, "governance")
    if found is None:
        return NO_GOVERNANCE
    fields.check_keys(report, found, "governance", _KEYS)
    metadata, teams = found.get("required_metadata"), found.get("teams")
    exceptions, policies = found.get("exceptions"), found.get("policies")
    members = _teams(report, teams) if teams else {}
    days, approvals = _exceptions(report, exceptions, members) if exceptions else (None, {})
    return Governance(
        required_metadata=_metadata(report, metadata) if metadata else (),
        teams=members,
        exception_days=days or DEFAULT_EXCEPTION_DAYS,
        exception_approvals=approvals,
        policy_days=_policies(report, policies) if policies else None,
        path_approvals=read_path_approvals(report, found, members),
    )


def _metadata(report: Report, node: Node) -> tuple[str, ...]:
    names = fields.strings(report, node, "governance.required_metadata")
    for item in node.items if type(node) is ListNode else ():
        fields.choice(report, item, "metadata key", METADATA_KEYS)
    return names


def _teams(report: Report, node: Node) -> dict[str, tuple[str, ...]]:
    found = fields.mapping(report, node, "governance.teams")
    teams = {}
    for team, (place, value) in found.entries.items() if found else ():
        fields.identifier(report, place, "team", NAME, NAME_ALLOWED)
        teams[team] = read_names(report, value, f"governance.teams.{team}")
    return teams


def _exceptions(report: Report, node: Node, teams: Mapping[str, tuple[str, ...]]) -> tuple[int | None, dict[str, int]]:
    what = "governance.exceptions"
    found = fields.mapping(report, node, what)
    if found is None:
        return None, {}
    fields.check_keys(report, found, what, ("max_days", "approvals"))
    days, approvals = found.get("max_days"), found.get("approvals")
    quorum = read_quorum(report, approvals, f"{what}.approvals", most=MAX_APPROVALS) if approvals else {}
    for team, count in quorum.items():
        members = len(set(teams.get(team, ())))
        if approvals and members < count:
            message = f"{what}.approvals.{team} asks for {count} of a team that has {members}"
            report.at(approvals, message, f"list its members under governance.teams.{team}")
    return (days and fields.integer(report, days, f"{what}.max_days", least=1, most=MAX_DAYS)) or None, quorum


def _policies(report: Report, node: Node) -> int | None:
    found = fields.mapping(report, node, "governance.policies")
    if found is None:
        return None
    fields.check_keys(report, found, "governance.policies", ("max_days",))
    hint = "such as policies: {max_days: 365}"
    days = fields.require(report, found, "max_days", "governance.policies", hint)
    return (
        None if days is None else fields.integer(report, days, "governance.policies.max_days", least=1, most=MAX_DAYS)
    )
