"""The place of a character of a value, through quoting, folding and indentation."""

import pytest

from builder.language.nodes import MapNode, Report, ScalarNode
from builder.language.placing import place_in
from builder.language.yamlfile import read_yaml

PLAIN = "a: 1\nwhen: size(x) > ! 1\n"
SINGLE = "when: 'it''s == ! 1'\n"
DOUBLE = 'when: "a == \\"b\\" && \\t\\x41\\u0042 ! 1"\n'
DOUBLE_FOLDED = 'when: "a &&\n\n    b \\\n     || ! c"\n'
PLAIN_FOLDED = "when: a &&\n  b\n    || ! c\nnext: 1\n"
LITERAL = "when: |  # why !\n  a &&\n    b\n  || ! c\n"
FOLDED = "when: >-\n\n  a &&\n  b\n\n    || ! c\n  d\n"
INDENTED = "when: |2\n    a &&\n  ! c\n"


@pytest.mark.parametrize("text", [PLAIN, SINGLE, DOUBLE, DOUBLE_FOLDED, PLAIN_FOLDED, LITERAL, FOLDED, INDENTED])
def test_a_visible_character_is_found_where_it_was_written(text: str) -> None:
    node = when(text)
    index = text.rindex("!")

    place = place_in(text, node, str(node.value).index("!"))

    assert (place.line, place.column) == (text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def test_the_end_is_right_after_the_last_visible_character() -> None:
    node = when(LITERAL)

    place = place_in(LITERAL, node, len(str(node.value)))

    assert (place.line, place.column) == (4, 9)


def test_nothing_visible_is_placed_at_the_start() -> None:
    node = when("when: ' '\n")

    assert place_in("when: ' '\n", node, 0).column == 7


def when(text: str) -> ScalarNode:
    report = Report("f.yaml")
    root = read_yaml(text.encode(), report)
    assert report.problems == []
    assert isinstance(root, MapNode)
    node = root.get("when")
    assert isinstance(node, ScalarNode)
    return node
