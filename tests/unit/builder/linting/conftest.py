"""What tests of lint share: a policy tree from a few files, linted on a day that stands still."""

import datetime
from collections.abc import Callable, Mapping

import pytest

from builder.linting import LintResult, lint_tree
from builder.source import PolicyTree

TODAY = datetime.date(2026, 6, 1)
SETTINGS = "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"


def lint_files(files: Mapping[str, str]) -> LintResult:
    contents = {path: text.encode() for path, text in sorted({"writ.yaml": SETTINGS, **files}.items())}
    return lint_tree(PolicyTree("1" * 40, True, contents), today=TODAY)


@pytest.fixture
def lint() -> Callable[[Mapping[str, str]], LintResult]:
    """Lint some files, on 2026-06-01."""
    return lint_files


@pytest.fixture
def lint_rules() -> Callable[..., LintResult]:
    """Lint one policy of the given rules (a YAML list), beside other files."""

    def run(rules: str, files: Mapping[str, str] | None = None, *, head: str = "") -> LintResult:
        return lint_files({"policies/a.yaml": f"version: v1\n{head}rules:\n{rules}\n", **(files or {})})

    return run
