"""What is written is read back as it was, whatever it holds."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builder.importing.ordering import OurRule
from builder.importing.writing import write_document
from builder.language.nodes import Report, plain
from builder.language.yamlfile import read_yaml

TRICKY = ["1", "true", "null", "~", "1e5", "22:00", "0o7", "a: b", "- a", "#x", "a && b && c", "'", '"', "\\d", "yes"]
TEXTS = st.sampled_from(TRICKY) | st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc"]), min_size=1, max_size=150
)
KEYS = TEXTS.filter(str.isprintable)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-5, 10**6) | st.sampled_from([0.5, 2.25]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, min_size=1, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), TEXTS, TEXTS)
def test_values_survive(match: dict[str, Any], when: str, title: str) -> None:
    rule = OurRule("r", 0, {"match": match, "when": when})

    text = write_document("p", title, ["a", ""], [(rule, "line 1")])

    report = Report("")
    root = read_yaml(text.encode(), report)
    assert not report.problems, text
    assert root
    assert plain(root)["rules"] == [{"id": "r", "match": match, "when": when}]
    assert plain(root)["metadata"] == {"title": title}
