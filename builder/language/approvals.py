"""The ``approval`` of a rule that asks: how many of which teams, and how fresh their grants must be."""

from builder.language import fields
from builder.language.nodes import Node, Report
from policy_core.grants import MAX_EXPIRES_IN_S, MAX_GRANTS, check_approval
from policy_core.model import Approval

_KEYS = ("from", "expires_in")
_HINT = "such as approval: {from: {security: 1}, expires_in: 1h}"


def read_approval(report: Report, node: Node) -> Approval | None:
    """Return the approval of one rule, None if it has a problem."""
    found = fields.mapping(report, node, "approval")
    if found is None:
        return None
    before = len(report.problems)
    fields.check_keys(report, found, "approval", _KEYS)
    teams, expires_in = (fields.require(report, found, name, "approval", _HINT) for name in _KEYS)
    approval = Approval(
        quorum=read_quorum(report, teams, "approval.from", most=MAX_GRANTS) if teams else {},
        expires_in_s=(
            expires_in and fields.duration(report, expires_in, "approval.expires_in", most_s=MAX_EXPIRES_IN_S)
        )
        or 1,
    )
    if len(report.problems) == before and teams and (problem := check_approval(approval)):
        report.at(teams, *problem)
    return approval if len(report.problems) == before else None


def read_quorum(report: Report, node: Node, what: str, *, most: int) -> dict[str, int]:
    """Return how many people of each team are asked for, as far as that can be read."""
    found = fields.mapping(report, node, what)
    counts = {
        team: fields.integer(report, count, f"{what}.{team}", least=1, most=most) or 0
        for team, (_, count) in (found.entries.items() if found else ())
    }
    return {team: count for team, count in counts.items() if count}
