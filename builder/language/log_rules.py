"""The ``decision_log`` of ``writ.yaml``: what records of decisions do not hold, and which decisions get none."""

from builder.language import fields
from builder.language.clauses import read_clauses
from builder.language.nodes import MapNode, Node, Report
from policy_core.model import Clauses, Erasure, LogRules
from policy_core.redacting import path_problem

MAX_ENTRIES = 100
_WHAT = "decision_log"
_KEYS = ("erase", "leave_out")


def read_log_rules(report: Report, found: MapNode) -> LogRules | None:
    """Return the rules, as far as they can be read; None if there are none."""
    fields.check_keys(report, found, _WHAT, _KEYS)
    erase, leave_out = found.get("erase"), found.get("leave_out")
    rules = LogRules(
        erase=tuple(_erasure(report, item) for item in _entries(report, erase, "erase")),
        leave_out=tuple(_left_out(report, item) for item in _entries(report, leave_out, "leave_out")),
    )
    return rules if rules != LogRules() else None


def _entries(report: Report, node: Node | None, name: str) -> list[Node]:
    items = list((node and fields.items(report, node, f"{_WHAT}.{name}")) or ())
    if node and len(items) > MAX_ENTRIES:
        report.at(node, f"{_WHAT}.{name}: too many entries (limit {MAX_ENTRIES})", "let one path or glob cover several")
    return items[:MAX_ENTRIES]


def _erasure(report: Report, node: Node) -> Erasure:
    what = f"{_WHAT}.erase"
    found = fields.mapping(report, node, what)
    if found is None:
        return Erasure("")
    fields.check_keys(report, found, what, ("path", "match"))
    place = fields.require(report, found, "path", what, "such as path: context.prompt")
    path = (place and fields.one_line(report, place, f"{what}.path")) or ""
    if place and path and (problem := path_problem(path)):
        report.at(
            place, f"{what}: {problem}", "write it as context.prompt, subject.properties.email or context.job.*.token"
        )
    match = found.get("match")
    return Erasure(path, (match and read_clauses(report, match, f"{what}.match")) or Clauses())


def _left_out(report: Report, node: Node) -> Clauses:
    what = f"{_WHAT}.leave_out"
    found = fields.mapping(report, node, what)
    if found is None:
        return Clauses()
    fields.check_keys(report, found, what, ("match",))
    before = len(report.problems)
    match = fields.require(report, found, "match", what, "such as match: {actions: [health.*]}")
    clauses = (match and read_clauses(report, match, f"{what}.match")) or Clauses()
    if match and clauses == Clauses() and len(report.problems) == before:
        report.at(
            match, f"{what}: no clause, so that every allow would be left out", "say which: match: {actions: […]}"
        )
    return clauses
