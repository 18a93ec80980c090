"""Holding a policy tree to a governance: its own when it is checked, that of what is live when it is published."""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from builder.language.codes import Code
from builder.language.documents import PolicyDocument
from builder.language.exceptions import ExceptionDocument
from builder.language.governance import Governance
from builder.language.locating import locate
from builder.language.project import FILE
from policy_core.errors import Problem
from policy_core.grants import missing_approvals
from policy_core.model import Approver


@dataclass(frozen=True, slots=True)
class Governed:
    """What a governance is about: policy documents and exceptions without a problem, and their files.

    `today` (UTC) is what the dates of policies are held against; None does not judge them.
    """

    documents: Iterable[PolicyDocument]
    exceptions: Iterable[ExceptionDocument]
    files: Mapping[str, bytes]
    today: datetime.date | None


def governance_problems(governance: Governance, governed: Governed) -> Iterator[Problem]:
    """Yield everything in which a tree falls short of a governance."""
    for document in governed.documents:
        yield from _metadata_problems(governance, document, governed)
        yield from _lifetime_problems(governance, document, governed)
    for exception in governed.exceptions:
        yield from _exception_problems(governance, exception, governed)


def _metadata_problems(governance: Governance, document: PolicyDocument, governed: Governed) -> Iterator[Problem]:
    missing = [key for key in governance.required_metadata if not document.metadata.says(key)]
    if missing:
        message = f"metadata has no {', '.join(missing)}"
        hint = f"governance.required_metadata in {FILE} demands it of every policy"
        yield _problem(governed, document.file, ("metadata",), message, hint)


def _lifetime_problems(governance: Governance, document: PolicyDocument, governed: Governed) -> Iterator[Problem]:
    most, expires = governance.policy_days, document.metadata.expires
    if most is None:
        return
    hint = f"governance.policies.max_days in {FILE} is {most}: set metadata.expires at most that many days ahead"
    if expires is None:
        yield _problem(governed, document.file, ("metadata",), "policy never expires", hint)
    elif governed.today and (left := (expires - governed.today).days) > most:
        yield _problem(governed, document.file, ("metadata", "expires"), f"policy expires only in {left} days", hint)


def _exception_problems(governance: Governance, document: ExceptionDocument, governed: Governed) -> Iterator[Problem]:
    if document.days > governance.exception_days:
        message = f"exception lives for {document.days} days"
        hint = f"governance.exceptions.max_days in {FILE} is {governance.exception_days}: let it expire earlier"
        yield _problem(governed, document.file, ("expires",), message, hint)
    needed, teams = governance.exception_approvals, governance.teams
    approvers = [Approver(name, "", _teams_of(name, teams), ()) for name in dict.fromkeys(document.approved_by)]
    for team, missing in missing_approvals(needed, approvers).items():
        count = needed[team]
        message = f"exception needs {count} approval{'' if count == 1 else 's'} of {team}, found {count - missing}"
        hint = f"members, by governance.teams in {FILE}: {', '.join(teams.get(team, ()))}; nobody counts for two teams"
        yield _problem(governed, document.file, ("approved_by",), message, hint)


def _teams_of(name: str, teams: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(team for team, members in teams.items() if name in members)


def _problem(governed: Governed, file: str, path: tuple[str, ...], message: str, hint: str) -> Problem:
    place = locate(file, governed.files[file], path)
    return Problem(file, place.line, place.column, message, hint, Code.UNGOVERNED)
