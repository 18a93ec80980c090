"""Globs: any run for ``*``, one character for ``?``, linear in the text."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.glob import any_glob, covers_glob, literal_prefix, match_glob


def _reference(pattern: str, text: str) -> bool:
    return (
        re.fullmatch("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), text, re.DOTALL) is not None
    )


@given(st.text("ab.*?\n", max_size=8), st.text("ab.\n", max_size=12))
def test_globs_mean_what_the_plain_regular_expression_means(pattern, text):
    assert match_glob(pattern, text) == _reference(pattern, text)


@given(st.lists(st.text("ab.*?", max_size=5), max_size=4), st.text("ab.", max_size=8))
def test_any_glob_is_any_of_the_single_ones(patterns, text):
    assert any_glob(patterns)(text) == any(_reference(pattern, text) for pattern in patterns)


@pytest.mark.parametrize(
    ("pattern", "text", "holds"),
    [
        ("job.*", "job.a.b", True),
        ("job.*", "job", False),
        ("*", "", True),
        ("", "", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("A", "a", False),
        ("a.c", "abc", False),
    ],
)
def test_wildcards_cross_dots_and_case_matters(pattern, text, holds):
    assert match_glob(pattern, text) is holds


def test_a_hostile_text_does_not_make_a_pattern_slow():
    text = "a" * 20_000

    started = time.process_time()
    assert not match_glob("*a*a*a*a*a*a*a*a*b", text)
    assert time.process_time() - started < 30  # backtracking would take longer than the universe has


def test_the_literal_prefix_ends_at_the_first_wildcard():
    assert [literal_prefix(pattern) for pattern in ("job.*.x", "a?", "abc", "*")] == ["job.", "a", "abc", ""]


@given(
    wide=st.text("ab*?", max_size=5),
    narrow=st.text("ab*?", max_size=5),
    texts=st.lists(st.text("ab", max_size=6), max_size=30),
)
def test_a_pattern_covers_another_only_if_it_matches_all_that_the_other_does(
    wide: str, narrow: str, texts: list[str]
) -> None:
    if covers_glob(wide, narrow):
        assert [text for text in texts if match_glob(narrow, text) and not match_glob(wide, text)] == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("*", ""), ("*", "?"), ("a*", "ab*"), ("a*", "a*b"), ("*b", "a*b"), ("*b", "?b"), ("a?c", "abc"), ("x", "x")],
)
def test_a_wider_pattern_is_known_to_cover(wide: str, narrow: str) -> None:
    assert covers_glob(wide, narrow)
