"""What was read before: the same results and findings, and nothing that could come from anywhere but these bytes."""

import datetime
from pathlib import Path

import pytest

from builder.compiling import compile_tree
from builder.language import remembering
from builder.language.nodes import BrokenNode, Report
from builder.language.remembering import Remembered
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError, Problem

PROJECT = b"name: p\nstore: file:///s\nchannels: [prod]\n"
RULE = b"version: v1\nrules:\n  - {id: a, match: {topics: [x]}, decision: allow}\n"


class Reader:
    """Counts how often it really reads."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, content: bytes, report: Report) -> int:
        self.times += 1
        report.at(BrokenNode(1, 1), "wrong")
        report.warnings.append(Problem(report.file, 1, 1, "odd"))
        return len(content)


def test_the_same_file_is_read_once() -> None:
    remembered, read = Remembered[int](), Reader()

    first = remembered.read(read, b"abc", Report("f"), beside=None)
    again = remembered.read(read, b"abc", Report("f"), beside=None)

    assert (first, again, read.times) == (3, 3, 1)


def test_a_file_read_before_has_the_same_findings() -> None:
    remembered, read = Remembered[int](), Reader()
    first, again = Report("f"), Report("f")

    remembered.read(read, b"abc", first, beside=None)
    remembered.read(read, b"abc", again, beside=None)

    assert (again.problems, again.warnings) == (first.problems, first.warnings)
    assert len(again.problems) == len(again.warnings) == 1


@pytest.mark.parametrize(
    ("file", "content", "beside"),
    [("g", b"abc", None), ("f", b"abd", None), ("f", b"abc", datetime.date(2026, 1, 1))],
)
def test_whatever_the_reading_depends_on_makes_it_another(file: str, content: bytes, beside: object) -> None:
    remembered, read = Remembered[int](), Reader()
    remembered.read(read, b"abc", Report("f"), beside=None)

    remembered.read(read, content, Report(file), beside=beside)

    assert read.times == 2


def test_what_was_asked_for_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "MAX_REMEMBERED_BYTES", 8)
    remembered, read = Remembered[int](), Reader()
    for content in (b"aaaa", b"bbbb", b"aaaa", b"cccc"):
        remembered.read(read, content, Report("f"), beside=None)

    remembered.read(read, b"aaaa", Report("f"), beside=None)
    assert read.times == 3
    remembered.read(read, b"bbbb", Report("f"), beside=None)
    assert read.times == 4


def test_a_file_larger_than_all_that_may_be_kept_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "MAX_REMEMBERED_BYTES", 8)

    assert Remembered[int]().read(Reader(), b"a" * 9, Report("f"), beside=None) == 9


def _tree(**files: bytes) -> PolicyTree:
    named = {path.replace("__", "/") + ".yaml": content for path, content in files.items()}
    return PolicyTree("0" * 40, False, dict(sorted({"writ.yaml": PROJECT, **named}.items())))


def test_an_edited_rule_is_compiled_as_it_is_now() -> None:
    compile_tree(_tree(policies__a=RULE), today=None)

    compiled = compile_tree(_tree(policies__a=RULE.replace(b"allow", b"deny")), today=None)

    assert [str(rule.decision) for rule in compiled.rules] == ["deny"]


def test_a_mistake_is_found_again() -> None:
    tree = _tree(policies__a=RULE.replace(b"allow", b"permit"))
    with pytest.raises(InvalidPolicyError) as first:
        compile_tree(tree, today=None)

    with pytest.raises(InvalidPolicyError) as again:
        compile_tree(tree, today=None)

    assert again.value.problems == first.value.problems


def test_a_test_that_names_a_rule_is_read_again_once_the_rule_is_gone() -> None:
    suite = b"version: v1\ncases:\n  - {name: c, request: {job: {topic: x}}, expect: {decision: allow, rule: a/a}}\n"
    compile_tree(_tree(policies__a=RULE, tests__t=suite), today=None)

    with pytest.raises(InvalidPolicyError) as error:
        compile_tree(_tree(policies__a=RULE.replace(b"id: a", b"id: b"), tests__t=suite), today=None)

    assert "unknown rule 'a/a'" in error.value.problems[0].message


def test_a_changed_fixture_changes_the_requests_of_suites_read_before() -> None:
    suite = b"version: v1\ncases:\n  - {name: c, request: r, expect: {decision: allow}}\n"
    fixtures = b"requests:\n  r: {job: {topic: x}}\n"
    files = {"policies__a": RULE, "tests__t": suite}
    compile_tree(_tree(**files, tests__fixtures__f=fixtures), today=None)

    compiled = compile_tree(_tree(**files, tests__fixtures__f=fixtures.replace(b"x", b"y")), today=None)

    assert compiled.suites[0].cases[0].request == {"job": {"topic": "y"}}


def test_a_fixture_that_suites_read_before_use_is_still_used() -> None:
    suite = b"version: v1\ncases:\n  - {name: c, request: r, expect: {decision: allow}}\n"
    tree = _tree(policies__a=RULE, tests__t=suite, tests__fixtures__f=b"requests:\n  r: {job: {topic: x}}\n")
    compile_tree(tree, today=None)

    assert compile_tree(tree, today=None).warnings == ()


def test_nothing_that_was_read_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))

    compile_tree(_tree(policies__a=RULE + b"# as never before\n"), today=None)

    assert list(tmp_path.iterdir()) == []
