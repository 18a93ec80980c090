"""Exceptions (docs/reference/exceptions.md): who switched off which rules, for what, why, and until when.

What the matcher needs of one is its `PolicyException`; the rest is for those who approve, audit and govern.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from builder.language import fields
from builder.language.approvers import NAME, NAME_ALLOWED, read_names
from builder.language.clauses import read_clauses
from builder.language.codes import Code
from builder.language.locating import locate
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode
from builder.language.yamlfile import read_yaml
from policy_core.errors import Problem
from policy_core.model import GRANTING, Clauses, PolicyException, Rule

CATEGORIES = ("waiver", "mitigated")
_WHAT = "exception"
_DAY_S = 86_400
_MANDATORY = {
    "id": "such as id: restart-freeze-2026-11",
    "rules": "list the rules it switches off: rules: [POLICY/RULE]",
    "scope": "say for which requests: scope: {match: {resource: {ids: [db-1]}}}",
    "category": f"say which it is: {' or '.join(CATEGORIES)}",
    "justification": "say why in a sentence",
    "requested_by": "name who needs it: requested_by: ana",
    "approved_by": "list who approved it: approved_by: [bo]",
    "ticket": "such as ticket: CHG-4711",
    "created": "the day it begins: created: 2026-11-01",
    "expires": "the last day it is in force: expires: 2026-11-30",
}
_KEYS = ("version", *_MANDATORY, "compensating_controls")


@dataclass(frozen=True, slots=True)
class ExceptionDocument:
    """One file below exceptions/: what hosts enforce, and what people answer for."""

    file: str
    exception: PolicyException
    category: str
    justification: str
    compensating_controls: tuple[str, ...]
    requested_by: str
    approved_by: tuple[str, ...]
    ticket: str

    @property
    def days(self) -> int:
        """Return how many days lie between the day it begins and the last day it is in force."""
        return (self.exception.expires - 1) // _DAY_S - self.exception.starts // _DAY_S


def read_exception(content: bytes, report: Report, *, today: datetime.date | None) -> ExceptionDocument | None:
    """Return the exception in a file below exceptions/, None if it has a problem; problems go to the report.

    `today` (UTC) is what its beginning is held against; None does not judge it. One that has expired is no problem: it
    is part of the history, and hosts know the time.
    """
    before = len(report.problems)
    root = read_yaml(content, report)
    found = fields.mapping(report, root, _WHAT) if root else None
    if found is None:
        return None
    fields.check_keys(report, found, _WHAT, _KEYS)
    fields.require(report, found, "version", _WHAT, "start it with version: v1")
    fields.check_version(report, found)
    reader = _Reader(report, found)
    document = ExceptionDocument(
        file=report.file,
        exception=PolicyException(
            id=reader.name("id"),
            rules=fields.strings(report, node, "rules") if (node := reader.node("rules")) else (),
            scope=reader.scope() or Clauses(),
            starts=reader.moment("created") or 0,
            expires=reader.moment("expires", end=True) or 0,
        ),
        category=(fields.choice(report, node, "category", CATEGORIES) if (node := reader.node("category")) else "")
        or "",
        justification=reader.text("justification"),
        compensating_controls=_controls(report, found),
        requested_by=reader.name("requested_by"),
        approved_by=read_names(report, node, "approved_by") if (node := reader.node("approved_by")) else (),
        ticket=reader.text("ticket"),
    )
    if len(report.problems) == before:
        _check_people(report, found, document)
        _check_times(report, found, document, today)
    return document if len(report.problems) == before else None


def check_lifted_rules(
    exceptions: Iterable[ExceptionDocument], rules: Mapping[str, Rule], files: Mapping[str, bytes]
) -> Iterator[Problem]:
    """Yield a problem for each rule an exception cannot switch off: unknown, of the baseline, or one that grants."""
    for each in exceptions:
        for number, name in enumerate(each.exception.rules):
            complaint = _lifting_problem(name, rules)
            if complaint:
                place = locate(each.file, files[each.file], ("rules", number))
                yield Problem(each.file, place.line, place.column, *complaint, Code.INVALID_VALUE)


def check_exception_ids(exceptions: Iterable[ExceptionDocument], files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Yield a problem for each exception whose id another one has."""
    first: dict[str, ExceptionDocument] = {}
    for each in exceptions:
        other = first.setdefault(each.exception.id, each)
        if other is not each:
            place = locate(each.file, files[each.file], ("id",))
            message = f"exception id {each.exception.id} is used already in {other.file}"
            yield Problem(
                each.file, place.line, place.column, message, "give each exception its own id", Code.DUPLICATE_NAME
            )


def _lifting_problem(name: str, rules: Mapping[str, Rule]) -> tuple[str, str] | None:
    rule = rules.get(name)
    if rule is None:
        hint = fields.name_hint(name, rules, "write POLICY/RULE")
        return f"unknown rule {fields.shown(name)}", hint
    if rule.baseline:
        return f"rule {name} belongs to the baseline tier", "no exception can weaken the baseline: change the policy"
    if rule.decision in GRANTING:
        return f"rule {name} grants: switching it off would only refuse more", "name the rules that restrict"
    return None


class _Reader:
    """Reads the mandatory parts of one exception."""

    def __init__(self, report: Report, found: MapNode) -> None:
        self.report = report
        self.found = found

    def node(self, name: str) -> Node | None:
        return fields.require(self.report, self.found, name, _WHAT, _MANDATORY[name])

    def name(self, name: str) -> str:
        node = self.node(name)
        return (node and fields.identifier(self.report, node, name, NAME, NAME_ALLOWED)) or ""

    def text(self, name: str) -> str:
        node = self.node(name)
        return (node and fields.string(self.report, node, name, max_chars=4_000)) or ""

    def scope(self) -> Clauses | None:
        node = self.node("scope")
        found = fields.mapping(self.report, node, "scope") if node else None
        if found is None:
            return None
        before = len(self.report.problems)
        fields.check_keys(self.report, found, "scope", ("match",))
        match = fields.require(self.report, found, "match", "scope", _MANDATORY["scope"])
        clauses = read_clauses(self.report, match, "scope.match") if match else None
        if match and clauses == Clauses() and len(self.report.problems) == before:
            hint = "name what it is for; scope: {match: {actions: ['*']}} says everything"
            self.report.at(match, "scope.match has no clause, so the exception would be for everything", hint)
        return clauses

    def moment(self, name: str, *, end: bool = False) -> int | None:
        """Return seconds since the epoch of a date (its beginning, or its end) or of a time with its zone."""
        node = self.node(name)
        if node is None or type(node) is BrokenNode:
            return None
        text = node.value if type(node) is ScalarNode and type(node.value) is str else ""
        if (seconds := fields.parse_moment(text)) is not None:
            return int(seconds)
        if (day := fields.parse_date(text)) is not None and day.year >= 1970:
            midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
            return int(midnight.timestamp()) + (_DAY_S if end else 0)
        message = f"{name}: expected a date or a time, found {fields.describe(node)}"
        self.report.at(node, message, "write it as 2026-11-01 or 2026-11-01T12:00:00Z")
        return None


def _controls(report: Report, found: MapNode) -> tuple[str, ...]:
    node = found.get("compensating_controls")
    if node is None:
        return ()
    return fields.strings(report, node, "compensating_controls")


def _check_people(report: Report, found: MapNode, document: ExceptionDocument) -> None:
    node = found.get("approved_by")
    requester = document.requested_by.casefold()  # to a directory of people, Ana is ana
    approvers = [name.casefold() for name in document.approved_by]
    if requester in approvers and type(node) is ListNode:
        message = f"{document.requested_by} cannot approve an exception of their own"
        report.at(node.items[approvers.index(requester)], message, "let somebody else approve it")


def _check_times(report: Report, found: MapNode, document: ExceptionDocument, today: datetime.date | None) -> None:
    created, expires, exception = found.get("created"), found.get("expires"), document.exception
    if expires and exception.expires <= exception.starts:
        report.at(expires, "expires is not after created", "it begins on created, and ends with the day expires")
    if created and today and datetime.datetime.fromtimestamp(exception.starts, datetime.UTC).date() > today:
        message = f"created lies in the future (today is {today})"
        report.at(created, message, "merge it when it is needed, or give the day it was written")
