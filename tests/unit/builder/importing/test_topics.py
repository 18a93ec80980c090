"""Topic patterns mean in our rules what they meant: held against the interpreter, character by character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.importing.interpreter import matches_topic
from builder.importing.topics import read_topic
from policy_core.attributes import compile_regex
from policy_core.glob import match_glob

PATTERNS = st.text("ab*?/[]^-\\.", max_size=8)
NAMES = st.text("ab/.-*^[]", max_size=6)


@given(PATTERNS, NAMES)
def test_a_pattern_matches_the_same_names(pattern: str, name: str) -> None:
    try:
        topic = read_topic(pattern)
    except ValueError:
        return  # refused

    held = matches_topic(pattern, name)

    assert (compile_regex(topic.regex).fullmatch(name) is not None) is held
    if topic.literal:
        assert held is (name == topic.literal)
    if topic.glob and "/" not in name and "/" not in pattern:
        assert match_glob(topic.glob, name) is held


@given(PATTERNS, NAMES)
def test_every_match_starts_with_the_prefix(pattern: str, name: str) -> None:
    try:
        topic = read_topic(pattern)
    except ValueError:
        return

    if matches_topic(pattern, name):
        assert name.startswith(topic.prefix)


@pytest.mark.parametrize("pattern", ["job.[", "job.[a", "job.[]", "job.[a-", "job.[b-a]", "job.[-a]", "job.\\", "[\\"])
def test_a_pattern_that_never_matches_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"backslash|class|range"):
        read_topic(pattern)
