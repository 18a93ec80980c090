"""Every code has a page, and its example proves what the page says."""

from collections.abc import Callable, Mapping

import pytest

from builder.language.codes import Code
from builder.linting import LintResult
from builder.linting.pages import PAGES, Page

Lint = Callable[[Mapping[str, str]], LintResult]


def codes(result: LintResult) -> set[str]:
    return {finding.code for finding in (*result.problems, *result.warnings)}


def test_every_code_has_a_page() -> None:
    assert list(PAGES) == list(Code)


def test_no_two_pages_share_a_name() -> None:
    assert len({page.name for page in PAGES.values()}) == len(PAGES)


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_the_example_has_a_finding_of_this_code_and_no_other(lint: Lint, page: Page) -> None:
    assert codes(lint(page.before)) == {page.code}


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_the_corrected_example_has_no_finding(lint: Lint, page: Page) -> None:
    assert codes(lint(page.after)) == set()


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_only_an_error_makes_the_example_unusable(lint: Lint, page: Page) -> None:
    assert bool(lint(page.before).problems) is page.code.is_error
