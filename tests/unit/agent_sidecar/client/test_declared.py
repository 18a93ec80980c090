"""Arguments as a tool declares them: nothing is left to bend after a decision."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, create_model

from agent_sidecar.client.declared import check_declared
from policy_core.request import RequestError


class Place(BaseModel):
    row: int
    name: str | None = None


class Tree(BaseModel):
    value: int
    below: list["Tree"] = []


SCHEMA = create_model(
    "call",
    number=(int, ...), share=(float, 0.0), place=(Place, ...), shares=(list[float], []), kind=(Literal["p", "q"], "p"),
    counts=(dict[str, int], {}), anything=(Any, None), free=(dict[str, Any], {}), tree=(Tree | None, None),
    pair=(tuple[int, str], (1, "a")), more=(Place | None, None),
).model_json_schema()  # fmt: skip
GOOD: dict[str, Any] = {"number": 1, "place": {"row": 1}}


@pytest.mark.parametrize(
    "more",
    [
        {}, {"share": 1}, {"share": 1.5}, {"place": {"row": 1, "name": None}}, {"shares": [1, 2.5]}, {"kind": "q"},
        {"counts": {"a": 1}}, {"anything": [{"x": 1}]}, {"free": {"x": {"y": "z"}}}, {"more": None},
        {"tree": {"value": 1, "below": [{"value": 2}]}}, {"more": {"row": 3}}, {"pair": [2, "b"]},
    ],
)  # fmt: skip
def test_what_is_declared_passes(more: dict[str, Any]) -> None:
    check_declared(GOOD | more, SCHEMA)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"number": "1"}, "arguments.number"),
        ({"number": 1.0}, "arguments.number"),
        ({"number": True}, "arguments.number"),
        ({"share": "1.5"}, "arguments.share"),
        ({"place": {"row": "1"}}, "arguments.place.row"),
        ({"place": {"row": 1, "secret": 1}}, "arguments.place.secret"),
        ({"shares": [1, "2"]}, r"arguments.shares\[1\]"),
        ({"shares": {}}, "arguments.shares"),
        ({"kind": "r"}, "arguments.kind"),
        ({"counts": {"a": "1"}}, "arguments.counts.a"),
        ({"tree": {"value": 1, "below": [{"value": "2"}]}}, "arguments.tree"),
        ({"more": {"row": "1"}}, "arguments.more"),
        ({"pair": ["1", "a"]}, r"arguments.pair\[0\]"),
        ({"unknown": 1}, "arguments.unknown"),
    ],
)
def test_what_would_be_bent_or_dropped_is_told(more: dict[str, Any], where: str) -> None:
    with pytest.raises(RequestError, match=f"request: {where} is not what the tool declares"):
        check_declared(GOOD | more, SCHEMA)
