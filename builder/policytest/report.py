"""A test report for people (a tree) and for machines (JSON)."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec

from builder.explaining import describe_trace, trace_record
from builder.policytest.runner import CaseResult, Status, TestReport

_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.SKIPPED: "-"}


def describe_report(report: TestReport) -> Iterator[str]:
    """Yield the report as lines: a tree of suites and cases, every failing case in full, and a summary."""
    for suite in report.suites:
        yield f"{suite.name}  {suite.file}"
        # the cells of a matrix follow each other and share a name that no other case of the suite has
        for name, group in groupby(suite.cases, key=lambda result: result.case.name):
            results = list(group)
            yield _headline(name, results)
            for result in results:
                if result.differences:
                    if result.case.cell:
                        yield f"    {_MARKS[result.status]} {result.case.cell}"
                    yield from (f"      {line}" for line in describe_failure(suite.file, result, report.places))
    yield summary(report)


def _headline(name: str, results: list[CaseResult]) -> str:
    """Return the line of a case, or of a matrix: failed if one of its cells is."""
    first = results[0]
    failed = sum(result.status is Status.FAILED for result in results)
    mark = _MARKS[Status.FAILED if failed else first.status]
    notes = []
    if first.case.cell:
        notes.append(f"{len(results)} cells{f', {failed} failed' if failed else ''}")
    if first.status is Status.SKIPPED:
        notes.append(f"skipped: {first.case.skip}")
    return f"  {mark} {name}" + (f"  ({'; '.join(notes)})" if notes else "")


def summary(report: TestReport) -> str:
    """Return one line that counts the cases."""
    counts = {status: report.count(status) for status in Status}
    if not any(counts.values()):
        return "no policy tests: nothing below tests/ has a case, so nothing was tested"
    total = sum(counts.values())
    parts = [f"{number} {status}" for status, number in counts.items() if number]
    return f"{total} policy test{'s' if total > 1 else ''}: {', '.join(parts)}"


def report_record(report: TestReport) -> dict[str, Any]:
    """Return the report as a JSON object."""
    return {
        "passed": report.passed,
        "counts": {status.value: report.count(status) for status in Status},
        "suites": [
            {
                "file": suite.file,
                "name": suite.name,
                "cases": [_case_record(result, report.places) for result in suite.cases],
            }
            for suite in report.suites
        ],
    }


def _case_record(result: CaseResult, places: Mapping[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {"name": result.case.name, "line": result.case.line, "status": result.status}
    if result.case.cell:
        record["cell"] = result.case.cell._asdict()
    if result.status is Status.SKIPPED:
        record["skip"] = result.case.skip
    if result.answer is not None:
        record["answer"] = result.answer
    if result.differences:
        record["differences"] = [
            {"part": item.part, "expected": item.expected, "got": item.got} for item in result.differences
        ]
        record["near_rules"] = [trace_record(trace, places[trace.rule.name]) for trace in result.traces]
    return record


def describe_failure(file: str, result: CaseResult, places: Mapping[str, str]) -> Iterator[str]:
    """Yield what was expected, what came, who decided, and the rules near the request clause by clause."""
    answer = result.answer
    yield f"{file}:{result.case.line}"
    for item in result.differences:
        yield f"{item.part}: expected {_shown(item.expected)}, got {_shown(item.got)}"
    if answer is not None:
        decider = answer.matched_rule
        why = f"by {decider} ({places[decider]})" if decider else "by no rule"
        yield f"decided {why}: {answer.decision}, {answer.reason_code}{f', {answer.reason}' if answer.reason else ''}"
    if result.traces:
        yield "rules near this request:"
        for trace in result.traces:
            yield from (f"  {line}" for line in describe_trace(trace, places[trace.rule.name]))


def _shown(value: object) -> str:
    if value == "":
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
