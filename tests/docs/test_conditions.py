"""docs/reference/conditions.md: every example gives what its comment says, and the numbers are those of the code."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from builder.language.cel import MAX_SOURCE_BYTES, CelError, lower
from policy_core.condition import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_STEPS,
    MAX_TEXT_CHARS,
    ROOTS,
    ConditionError,
    compile_condition,
)
from policy_core.condition.grammar import BINARY, COMPREHENSIONS
from policy_core.request import Request, normalise

PAGE = (Path(__file__).parents[2] / "docs/reference/conditions.md").read_text(encoding="utf-8")
LINE = re.compile(r"^(.*?)\s+// (.*)$")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def examples(kind: str) -> list[tuple[str, str]]:
    found = []
    for line in "".join(blocks(kind)).splitlines():
        match = LINE.fullmatch(line)
        assert match, f"no result: {line}"
        found.append((match[1], match[2]))
    return found


def setting() -> dict[str, Any]:
    [text] = blocks("json")
    return dict(json.loads(text))


def request() -> Request:
    given = setting()
    return normalise(given["request"], now=datetime.fromisoformat(given["now"]).timestamp(), host=given["host"])


@pytest.mark.parametrize(("source", "result"), examples("cel"), ids=[source for source, _ in examples("cel")])
def test_an_example_gives_what_the_page_says(source: str, result: str) -> None:
    holds = compile_condition(lower(source), setting()["data"])

    try:
        found = str(holds(request())).lower()
    except ConditionError as error:
        found = f"error: {error}"

    assert found == result


@pytest.mark.parametrize(
    ("source", "message"), examples("cel refused"), ids=[source for source, _ in examples("cel refused")]
)
def test_a_refused_example_is_refused_with_the_message_of_the_page(source: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        lower(source)

    assert [problem.message for problem in caught.value.complaints] == [message]


def test_the_limits_are_those_of_the_code() -> None:
    rows = dict(
        re.findall(r"^\| (source|nesting|nodes|string literal|steps of one evaluation) \| ([\d ]+)", PAGE, re.MULTILINE)
    )

    assert {name: int(value.replace(" ", "")) for name, value in rows.items()} == {
        "source": MAX_SOURCE_BYTES,
        "nesting": MAX_DEPTH,
        "nodes": MAX_NODES,
        "string literal": MAX_TEXT_CHARS,
        "steps of one evaluation": MAX_STEPS,
    }


def test_the_tables_name_every_variable_operator_and_macro() -> None:
    variables = PAGE.split("## Variables")[1].split("##")[0]
    profile = PAGE.split("## The profile")[1].split("```")[0]

    assert re.findall(r"^\| `(\w+)` \|", variables, re.MULTILINE) == list(ROOTS)
    for name in (*BINARY, *COMPREHENSIONS):
        assert re.search(rf"(`| |\.){re.escape(name)}(`|\(| )", profile), name
