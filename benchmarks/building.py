"""A policy repository from YAML to bundle, as its authors wait for it: everything new, and after one changed file.

A fifth of the rules has a condition that no other rule has. The policy tests are one for each rule, in files of their
own; their requests are those of the workload, so that all pass.
"""

import datetime
import gc
import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measuring import table
from benchmarks.workload import documents, requests
from builder.cli.main import YOUNG_OBJECTS
from builder.compiling import Compiled, bundle_of, compile_tree
from builder.explaining import matcher_for
from builder.linting import lint_tree
from builder.policytest import run_suites
from builder.source import PolicyTree
from policy_core.request import normalise

RULES, TESTS, CASES_PER_FILE = 10_000, 10_000, 100
ROUNDS = 3  # the best counts
TODAY = datetime.date(2026, 11, 1)
_CONDITION = re.compile(rb"context\.attempt < 3")
_numbers = itertools.count(1)


def run() -> None:
    """Print the best of some rounds for each step an author waits for."""
    gc.set_threshold(YOUNG_OBJECTS)  # as `writ` itself does
    rows = [*_policies(), *_tests()]
    table(
        f"A repository of {RULES:,} rules and {TESTS:,} policy tests (s of one core)",
        ("step", "everything new", "one file changed"),
        rows,
    )


def _policies() -> list[tuple[object, ...]]:
    compiled_s, bundled_s, linted_s = [], [], []
    again_s, bundled_again_s, linted_again_s = [], [], []
    for _ in range(ROUNDS):
        tree = _tree(_as_never_before(documents(RULES)))
        compiled, seconds = _timed(lambda: compile_tree(tree, today=TODAY))  # noqa: B023
        compiled_s.append(seconds)
        bundled_s.append(_timed(lambda: bundle_of(compiled))[1])  # noqa: B023
        changed = _tree(_one_changed(dict(tree.files), "policies/"))
        compiled, seconds = _timed(lambda: compile_tree(changed, today=TODAY))  # noqa: B023
        again_s.append(seconds)
        bundled_again_s.append(_timed(lambda: bundle_of(compiled))[1])  # noqa: B023
        other = _tree(_as_never_before(documents(RULES)))
        linted_s.append(_timed(lambda: lint_tree(other, today=TODAY))[1])  # noqa: B023
        changed = _tree(_one_changed(dict(other.files), "policies/"))
        linted_again_s.append(_timed(lambda: lint_tree(changed, today=TODAY))[1])  # noqa: B023
    return [
        ("read and compile the rules", min(compiled_s), min(again_s)),
        ("make the bundle of it", min(bundled_s), min(bundled_again_s)),
        ("lint", min(linted_s), min(linted_again_s)),
    ]


def _tests() -> list[tuple[object, ...]]:
    read_s, read_again_s, run_s = [], [], []
    files = documents(RULES)
    without = _timed(lambda: compile_tree(_tree(files), today=TODAY))
    suites = _suites(without[0])
    for _ in range(ROUNDS):
        rules_s = _timed(lambda: compile_tree(_tree(files), today=TODAY))[1]
        everything = {**files, **_as_never_before(suites)}
        compiled, seconds = _timed(lambda: compile_tree(_tree(everything), today=TODAY))  # noqa: B023
        read_s.append(seconds - rules_s)
        report, seconds = _timed(lambda: run_suites(compiled))  # noqa: B023
        run_s.append(seconds)
        if not report.passed:
            raise SystemExit("a policy test of the workload fails")
        changed = _one_changed(everything, "tests/")
        read_again_s.append(_timed(lambda: compile_tree(_tree(changed), today=TODAY))[1] - rules_s)  # noqa: B023
    return [
        ("read the policy tests", min(read_s), max(0.0, min(read_again_s))),
        ("run the policy tests", min(run_s), ""),
    ]


def _suites(compiled: Compiled) -> dict[str, bytes]:
    decide = matcher_for(compiled.rules, compiled.provisions, "").decide
    asked = requests(RULES, TESTS)
    files = {}
    for start in range(0, TESTS, CASES_PER_FILE):
        lines = ["version: v1", "cases:"]
        for number, request in enumerate(asked[start : start + CASES_PER_FILE], start):
            decision = decide(normalise(request, now=0.0, host={})).decision
            lines += [f"  - name: case {number}", *(f"    {part}: {json.dumps(request[part])}" for part in request)]
            lines.append(f"    expect: {{decision: {decision}}}")
        files[f"tests/suite-{start // CASES_PER_FILE:05}.yaml"] = "\n".join(lines).encode() + b"\n"
    return files


def _as_never_before(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files of which none was read before in this process, with conditions of which none was lowered before."""

    def distinct(_: re.Match[bytes]) -> bytes:
        return b"context.attempt < %d && 'team-%d' in subject.properties.roles" % (3, next(_numbers))

    return {
        path: _CONDITION.sub(distinct, text) + (b"# %d\n" % next(_numbers) if path != "writ.yaml" else b"")
        for path, text in files.items()
    }


def _one_changed(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    path = next(path for path in files if path.startswith(folder))
    return files | {path: files[path] + b"# %d\n" % next(_numbers)}


def _tree(files: dict[str, bytes]) -> PolicyTree:
    return PolicyTree("0" * 40, False, files)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    gc.collect()
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


if __name__ == "__main__":
    run()
