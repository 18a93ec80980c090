"""Of two patterns a name is found that both match, wherever there is one."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.importing.importer import import_policy
from builder.importing.interpreter import matches_topic
from builder.importing.meeting import MAX_PAIRS, MAX_PATTERN_CHARS, meeting_names
from builder.importing.requests import space_of

PATTERNS = st.text("ab/*?", max_size=4)
NAMES = ["".join(letters) for length in range(5) for letters in product("ab/", repeat=length)]


@given(PATTERNS, PATTERNS)
def test_a_name_is_found_exactly_if_there_is_one(one: str, other: str) -> None:
    shared = [name for name in NAMES if matches_topic(one, name) and matches_topic(other, name)]

    found = list(meeting_names([one, other]))

    assert all(matches_topic(one, name) and matches_topic(other, name) for name in found)
    assert found or not shared or one == other or not set(one + other) & set("*?")


@pytest.mark.parametrize("pattern", ["job.[a-z]", r"job.\*", f"{'a' * MAX_PATTERN_CHARS}*"])
def test_what_is_no_short_glob_is_left_out(pattern: str) -> None:
    assert list(meeting_names([pattern, "*"])) == []


def test_the_number_of_pairs_is_bounded() -> None:
    assert len(list(meeting_names([f"*{number}*" for number in range(1_000)]))) == MAX_PAIRS


def test_rules_that_meet_in_no_name_of_theirs_are_compared_where_they_do() -> None:
    source = b"rules:\n" + b"".join(
        f"  - {{match: {{topics: [{pattern!r}]}}, decision: {decision}}}\n".encode()
        for pattern, decision in (("job.*.read", "allow"), ("job.db.*", "deny"))
    )
    document = {"rules": [{"match": {"topics": ["job.*.read"]}}, {"match": {"topics": ["job.db.*"]}}]}

    assert "job.db.read" in space_of(document).values["topic"]
    assert (proof := import_policy(source, "a.yaml").proof) is not None
    assert proof.exhaustive
    assert proof.differences == ()
