"""The library that ships: each primitive stands on its own, is tested to the last clause, and fits a new repository."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.compiling import Compiled, compile_tree
from builder.explaining import matcher_for
from builder.language.suites import Case
from builder.library import Primitive, choose, missing_files, read_library
from builder.linting import lint_tree
from builder.policytest import TestReport, check_mutants, measure_coverage, run_suites
from builder.source import POLICY_PATHS, PolicyTree
from builder.templating import TemplateValues, find_template, render
from policy_core.errors import UsageError
from policy_core.request import normalise

TODAY = date(2026, 11, 20)
LIBRARY = {primitive.name: primitive for primitive in read_library(find_template(), today=TODAY)}
NEW_REPOSITORY = render(find_template(), TemplateValues(name="agents", store="s3://bucket/prefix", today=TODAY))
TWELVE = {
    "identity-binding", "scope-binding", "blast-radius", "reversibility-gate", "time-boxed-access", "sandbox-grant",
    "schema-drift", "network-boundary", "rate-and-budget", "change-window", "quorum-approval", "evidence",
}  # fmt: skip

each_primitive = pytest.mark.parametrize("name", sorted(LIBRARY))


@dataclass(frozen=True)
class Tried:
    compiled: Compiled
    report: TestReport


@cache
def alone(name: str) -> Tried:
    """Compile and test one primitive in a repository that holds nothing else."""
    settings = NEW_REPOSITORY["writ.yaml"] + LIBRARY[name].settings.encode()
    return tried({**LIBRARY[name].files, "writ.yaml": settings})


def tried(files: dict[str, bytes]) -> Tried:
    compiled = compile_tree(tree_of(files), today=TODAY)
    return Tried(compiled, run_suites(compiled))


def tree_of(files: dict[str, bytes]) -> PolicyTree:
    ours = {path: files[path] for path in sorted(files) if path.split("/")[0] in POLICY_PATHS}
    return PolicyTree("0" * 40, False, ours)


def everything() -> dict[str, bytes]:
    """Return the files of a new repository to which every primitive was added."""
    files = dict(NEW_REPOSITORY)
    for item in LIBRARY.values():
        assert not item.files.keys() & files.keys()
        files |= item.files
        files["writ.yaml"] += item.settings.encode()
    return files


def test_there_are_twelve() -> None:
    assert set(LIBRARY) == TWELVE


@each_primitive
def test_it_passes_its_tests_without_a_warning(name: str) -> None:
    it = alone(name)

    it.report.require_passed()
    assert it.compiled.warnings == ()


@each_primitive
def test_its_tests_cover_every_rule_and_clause(name: str) -> None:
    it = alone(name)
    tallies = measure_coverage(it.compiled, it.report).tallies()

    assert {what: tally.percent for what, tally in tallies.items()} == {"rules": 100.0, "clauses": 100.0}


@each_primitive
def test_its_tests_notice_every_change_to_a_rule(name: str) -> None:
    it = alone(name)
    mutation = check_mutants(it.compiled, it.report)

    assert mutation.survivors == ()
    assert mutation.tried == mutation.mutants > len(it.compiled.rules)


@each_primitive
def test_whoever_leaves_out_a_fact_gains_nothing(name: str) -> None:
    for case in refused(name):
        for part in ("context", "subject", "resource"):
            for less in lacking(case.request.get(part, {})):
                assert not allowed(name, case, {part: less}), (case.title, part, less)


@each_primitive
def test_whoever_claims_every_tag_gains_nothing(name: str) -> None:
    tags = [tag for rule in alone(name).compiled.rules for tag in (*rule.match.risk_tags, *rule.match.risk_tags_any)]

    for case in refused(name):
        claimed = {**case.request.get("context", {}), "risk_tags": [*tags, "low"]}
        assert not allowed(name, case, {"context": claimed}), case.title


def refused(name: str) -> list[Case]:
    """Return the cases of a primitive's tests that are not allowed."""
    results = [result for suite in alone(name).report.suites for result in suite.cases]
    return [result.case for result in results if result.answer and not result.answer.allowed]


def allowed(name: str, case: Case, changes: dict[str, Any]) -> bool:
    """Tell whether a primitive allows the request of a case with some parts changed."""
    matcher = matcher_for(alone(name).compiled.rules, alone(name).compiled.provisions, "")
    request = normalise({**case.request, **changes}, now=case.now, host=case.host)
    return matcher.decide(request, memory=case.memory).allowed


def lacking(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a JSON object without each of its keys, at any depth; type and id stay."""
    for key, inner in value.items():
        if key not in ("type", "id"):
            yield {name: other for name, other in value.items() if name != key}
        if isinstance(inner, dict):
            yield from ({**value, key: less} for less in lacking(inner))


def test_all_of_them_fit_into_a_new_repository() -> None:
    together = tried(everything())

    together.report.require_passed()
    assert together.compiled.warnings == ()


def test_lint_finds_nothing_suspicious_in_them() -> None:
    linted = lint_tree(tree_of(everything()), today=TODAY)

    assert linted.problems == ()
    assert [warning for warning in linted.warnings if "primitives" in warning.file] == []


@pytest.mark.parametrize("day", [date(2027, 3, 27), date(2028, 2, 29), date(2027, 9, 1)])
def test_they_pass_whichever_day_they_are_added(day: date) -> None:
    files = {"writ.yaml": NEW_REPOSITORY["writ.yaml"]}
    for item in read_library(find_template(), today=day):
        files |= item.files
        files["writ.yaml"] += item.settings.encode()
    compiled = compile_tree(tree_of(files), today=day)

    run_suites(compiled).require_passed()


@each_primitive
def test_every_policy_is_owned_reviewed_and_expires_in_a_year(name: str) -> None:
    policies = [yaml.safe_load(text) for path, text in LIBRARY[name].files.items() if path.startswith("policies/")]

    assert policies
    for metadata in (policy["metadata"] for policy in policies):
        assert {"title", "intent", "severity", "controls"} <= set(metadata)
        assert set(metadata["owners"]) == {"security", "platform", "app"}
        assert metadata["review"]["last_reviewed"] == TODAY
        assert metadata["expires"] == date(2027, 11, 20)


def test_they_are_no_part_of_a_new_repository() -> None:
    assert not [path for path in NEW_REPOSITORY if "library" in path or "primitives" in path]


def test_chosen_ones_come_in_the_order_asked_for_and_once() -> None:
    chosen = choose(LIBRARY.values(), ["scope-binding", "evidence", "scope-binding"])

    assert [primitive.name for primitive in chosen] == ["scope-binding", "evidence"]


def test_every_unknown_name_is_reported_with_a_hint() -> None:
    with pytest.raises(UsageError, match="no such primitive: blast-radios, nothing") as caught:
        choose(LIBRARY.values(), ["blast-radios", "evidence", "nothing"])

    assert caught.value.hint == "did you mean blast-radius?"


def primitive(**files: bytes) -> Primitive:
    return Primitive("p", "Title", "Intent", {f"policies/{name}.yaml": content for name, content in files.items()})


def test_what_is_there_already_need_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/a.yaml").write_bytes(b"1")

    assert missing_files(tmp_path, [primitive(a=b"1", b=b"2")]) == {"policies/b.yaml": b"2"}


def test_files_with_other_content_are_all_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "policies/c.yaml").mkdir(parents=True)
    (tmp_path / "policies/a.yaml").write_bytes(b"mine")

    with pytest.raises(UsageError, match=r"policies/a\.yaml, policies/c\.yaml: there already"):
        missing_files(tmp_path, [primitive(a=b"1", b=b"2", c=b"3")])
