"""Approvals that nobody can give: found before a host asks for them and never gets them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from builder.language import fields
from builder.language.codes import Code
from builder.language.documents import PolicyDocument
from builder.language.locating import locate
from builder.language.project import FILE
from policy_core.errors import Problem
from policy_core.grants import missing_approvals
from policy_core.model import Approver


def find_unreachable_quorums(
    documents: Iterable[PolicyDocument], approvers: Sequence[Approver], files: Mapping[str, bytes]
) -> Iterator[Problem]:
    """Yield a problem for each approval that all approvers together could not satisfy.

    The documents must be those of files without a problem.
    """
    teams = sorted({team for approver in approvers for team in approver.teams})
    known: dict[tuple[tuple[str, int], ...], Mapping[str, int]] = {}  # most rules ask the same teams
    for document in documents:
        for number, rule in enumerate(document.rules):
            if rule.approval is None:
                continue
            quorum = tuple(rule.approval.quorum.items())
            if quorum not in known:
                known[quorum] = missing_approvals(rule.approval.quorum, approvers)
            path = ("rules", number, "approval", "from")
            for team, (message, hint) in _complaints(known[quorum], teams):
                place = locate(document.file, files[document.file], (*path, team), at_key=bool(team))
                yield Problem(document.file, place.line, place.column, message, hint, Code.INVALID_VALUE)


def _complaints(missing: Mapping[str, int], teams: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what is wrong as message and hint, with the team it is about (empty: with all of them)."""
    unknown = [team for team in missing if team not in teams]
    for team in unknown:
        hint = fields.suggestion(team, teams, "teams") if teams else f"list people under approvers in {FILE}"
        yield team, (f"approval.from: no approver is in team {fields.shown(team)}", hint)
    if missing and not unknown:
        lacking = ", ".join(f"{count} more of {fields.shown(team)}" for team, count in missing.items())
        hint = f"ask for fewer, or list more people under approvers in {FILE}; nobody counts for two teams"
        yield "", (f"approval.from can never be satisfied: it takes {lacking}", hint)
