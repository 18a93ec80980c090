"""The whole way: read, order, write, compile what was written, and compare it with what was read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from builder.importing.fields import FIELDS
from builder.importing.ordering import OurRule, order_rules
from builder.importing.proving import Proof, compare, describe_proof
from builder.importing.reading import SourcePolicy, read_source
from builder.importing.requests import MAX_REQUESTS
from builder.importing.writing import write_document
from builder.language.documents import read_document
from builder.language.nodes import Place, Report, plain
from policy_core.errors import Problem

_ID = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Change:
    """What changed in meaning, or is worth a look: a field where it is used first, or one place (`field` is empty)."""

    line: int
    column: int
    field: str
    message: str
    uses: int = 1


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: `refused` says all that is in the way; otherwise there is a text and its proof."""

    file: str
    policy: str = ""
    refused: tuple[Problem, ...] = ()
    text: str = ""
    source: SourcePolicy | None = None
    rules: tuple[OurRule, ...] = ()
    changes: tuple[Change, ...] = ()
    proof: Proof | None = None


def import_policy(content: bytes, file: str, *, most: int = MAX_REQUESTS) -> Imported:
    """Return what became of a job-style policy file; `file` is its name, for messages and for the new policy's id.

    At most so many requests are compared.
    """
    report = Report(file)
    source = read_source(content, report)
    if source is None or report.problems:
        return Imported(file, refused=_sorted(report.problems))
    ordered = order_rules(source.rules, report)
    if report.problems:
        return Imported(file, refused=_sorted(report.problems))
    changes = _changes(source, ordered.remarks)
    stem = file.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or "policy"
    policy_id = _ID.sub("-", stem).lstrip("._-")[:100] or "imported"
    text = _document(policy_id, file, source, ordered.rules, changes)
    document = read_document(text.encode(), written := Report(f"policies/{policy_id}.yaml"), today=None)
    if document is None or written.problems:
        return Imported(file, refused=_carried_over(report, source, written))
    proof = compare(plain(source.root), source.rules, ordered.rules, document.rules, most=most)
    text = _document(policy_id, file, source, ordered.rules, changes, proof)
    return Imported(file, policy_id, (), text, source, ordered.rules, changes, proof)


def _changes(source: SourcePolicy, remarks: Iterable[tuple[Place, str]]) -> tuple[Change, ...]:
    found = [Change(place.line, place.column, "", message) for place, message in (*source.remarks, *remarks)]
    for path, places in source.used.items():
        if says := FIELDS[path].says:
            first = min(places, key=lambda place: (place.line, place.column))
            found.append(Change(first.line, first.column, path, says, len(places)))
    return tuple(sorted(found, key=lambda change: (change.line, change.column, change.field, change.message)))


def _document(
    policy_id: str,
    file: str,
    source: SourcePolicy,
    rules: tuple[OurRule, ...],
    changes: tuple[Change, ...],
    proof: Proof | None = None,
) -> str:
    name = file.replace("\\", "/").rpartition("/")[2]
    head = [f"Imported from {name} by writ import."]
    if changes:
        head += ["", "Changed in meaning, or worth a look (lines of the file it came from):"]
        head += [f"- line {change.line}: {describe_change(change)}" for change in changes]
    if proof:
        head += ["", "Compared with it:", *(f"- {line}" for line in describe_proof(proof))]
    head = [line if line.isprintable() else ascii(line) for line in head]
    return write_document(policy_id, f"Imported from {name}", head, [(rule, _comment(rule, source)) for rule in rules])


def describe_change(change: Change) -> str:
    """Return a change as words."""
    more = f" ({change.uses} times)" if change.uses > 1 else ""
    return f"{change.field}{more}: {change.message}" if change.field else change.message


def _comment(rule: OurRule, source: SourcePolicy) -> str:
    came_from = source.rules[rule.source]
    where = f"line {came_from.place.line}"
    if rule.excepts:
        shown = ", ".join(rule.excepts[:8]) + (f" and {len(rule.excepts) - 8} more" if len(rule.excepts) > 8 else "")
        return f"{where}; where no earlier rule decided: {shown}"
    return where


def _carried_over(report: Report, source: SourcePolicy, written: Report) -> tuple[Problem, ...]:
    """Say what our language refuses of the new document, such as a rule that is too large."""
    for problem in written.problems:
        report.at(source.root, f"{problem.message} (in what this file would become)", problem.hint)
    return _sorted(report.problems)


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(set(problems)))
