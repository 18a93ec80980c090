"""Constraints merge by tightening, whatever the order; what the registry does not know is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.constraints import canonical_constraint, check_constraint, merge

_lists = st.lists(st.sampled_from("abcd"), max_size=4).map(canonical_constraint)
_sets = st.fixed_dictionaries(
    {}, optional={"max_retries": st.integers(0, 9), "max_targets": st.integers(0, 9), "network_allowlist": _lists}
)


@given(_sets, _sets, _sets)
def test_merging_is_associative_commutative_and_idempotent(a, b, c):
    assert merge([a, b, c]) == merge([merge([c, b]), a]) == merge([a, a, b, c, c])


@given(_sets, _sets)
def test_merging_never_loosens(a, b):
    merged = merge([a, b])

    for name, value in a.items():
        if isinstance(value, tuple):
            assert set(merged[name]) <= set(value)
        else:
            assert merged[name] <= value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_retrys", 3, "unknown constraint max_retrys"),
        ("min_replicas", 2, "constraint min_replicas is not yet supported"),
        ("path_denylist", ["/"], "constraint path_denylist is not yet supported"),
        ("x_custom", 1, "constraint x_custom is not yet supported"),
        ("max_retries", -1, "constraint max_retries must be a number of at least 0 and below 2^53"),
        ("max_retries", True, "constraint max_retries must be a number of at least 0 and below 2^53"),
        ("max_retries", "3", "constraint max_retries must be a number of at least 0 and below 2^53"),
        ("network_allowlist", "a", "constraint network_allowlist must be a list of strings"),
        ("network_allowlist", [1], "constraint network_allowlist must be a list of strings"),
    ],
)
def test_a_constraint_nobody_could_keep_is_refused(name, value, message):
    problem = check_constraint(name, value)

    assert problem is not None
    assert problem[0] == message


def test_a_close_name_is_suggested():
    assert check_constraint("max_retrys", 3) == ("unknown constraint max_retrys", "did you mean max_retries?")


def test_an_empty_allowlist_is_valid_and_permits_nothing():
    assert check_constraint("network_allowlist", []) is None
    assert merge([{"network_allowlist": ("a",)}, {"network_allowlist": ()}]) == {"network_allowlist": ()}


def test_canonical_values_have_one_form():
    assert canonical_constraint(["b", "a", "b"]) == ("a", "b")
    assert repr(canonical_constraint(3.0)) == "3"
