"""Hints that fields give: what an unknown name was probably meant to be."""

from builder.language.fields import name_hint

RULES = [f"ops.p{number}/rule-{number}" for number in range(5_000)]


def test_a_misspelt_rule_is_recognised_among_thousands() -> None:
    assert name_hint("ops.p4711/ruel-4711", RULES, "write POLICY/RULE") == "did you mean 'ops.p4711/rule-4711'?"


def test_of_few_names_all_are_listed() -> None:
    assert name_hint("zz", ["a/one", "b/two"], "write POLICY/RULE") == "there are: a/one, b/two"


def test_a_name_like_no_other_gets_the_form_of_names() -> None:
    assert name_hint("zz", RULES, "write POLICY/RULE") == "write POLICY/RULE"
    assert name_hint("zz", [], "write POLICY/RULE") == "write POLICY/RULE"
