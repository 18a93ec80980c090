"""Every finding has a code: whoever makes one has to say of which class it is."""

import ast
from pathlib import Path

import pytest

BUILDER = Path(__file__).parents[4] / "builder"


def findings_without_code(source: str) -> list[int]:
    """Return the lines that make a `Problem` without a code; one made only to say where it is needs none."""
    tree = ast.parse(source)
    for_place = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "where"}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Problem"
        and id(node) not in for_place
        and not any(keyword.arg == "code" for keyword in node.keywords)
        and sum(2 if isinstance(argument, ast.Starred) else 1 for argument in node.args) < 6
    ]


def test_every_finding_of_the_builder_has_a_code() -> None:
    found = {
        str(path.relative_to(BUILDER)): lines
        for path in BUILDER.rglob("*.py")
        if (lines := findings_without_code(path.read_text()))
    }

    assert found == {}


@pytest.mark.parametrize(
    "source", ["Problem(f, 1, 2, message)", "Problem(f, 1, 2, message, hint)", "Problem(f, *at, m)"]
)
def test_a_finding_without_code_is_found(source: str) -> None:
    assert findings_without_code(source) == [1]
