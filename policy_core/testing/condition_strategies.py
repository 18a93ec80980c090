"""Hypothesis strategies for conditions and the requests and data they meet.

`conditions` are well typed as far as CEL's checker sees: attributes can be anything, so their text (by
`render_condition`) compiles with a CEL library too and most errors happen at run time. `odd_conditions` ignore types.
"""

from typing import Any

from hypothesis import strategies as st

from policy_core.condition.grammar import ARITHMETIC, BINARY, COMPREHENSIONS, INT_MAX, INT_MIN, ORDERINGS, TEXT_TESTS
from policy_core.request import Request

Node = Any

KEYS = ["a", "b", "l", "m", "n", "s"]
INTEGERS = [0, 1, 2, 3, -1, -7, 10, INT_MAX, INT_MIN]
DOUBLES = [0.0, 1.0, 2.0, -1.5, 0.5, 1e300]
TEXTS = ["", "a", "b", "sre", "prod", "é", "z😀", "\uffff", 'q"\\\n']
TIMES_US = [0, 1_700_000_000_000_000, 1_700_000_000_500_000, 253_402_300_799_999_999, -62_135_596_800_000_000]
DURATIONS_US = [0, 1, -1_500_000, 3_600_000_000, 9_000_000_000_000_000]
_SCALAR_KINDS = ("bool", "int", "double", "string", "null", "timestamp", "duration")
_LIST_KINDS = ("list int", "list string", "list any")

_scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(INTEGERS), st.sampled_from(DOUBLES), st.sampled_from(TEXTS)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=8,
)
"""Decoded JSON whose integers CEL can hold."""
wide_json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(_scalars, st.sampled_from([2**63, -(2**63) - 1, 2**70])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=8,
)
"""Decoded JSON with integers beyond 64 bits too."""


def attribute_maps(values: st.SearchStrategy[Any] = json_values) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the properties of an entity, the context or reference data: mostly all there and of the usual types."""
    usual = {
        "a": values,
        "b": st.booleans(),
        "l": st.lists(st.one_of(st.sampled_from(TEXTS), st.sampled_from(INTEGERS)), max_size=5),
        "m": st.dictionaries(st.sampled_from(KEYS), _scalars, min_size=1, max_size=4),
        "n": st.sampled_from([*INTEGERS, *DOUBLES]),
        "s": st.sampled_from(TEXTS),
    }
    return st.builds(
        lambda full, absent, odd: {key: value for key, value in {**full, **odd}.items() if key not in absent},
        st.fixed_dictionaries(usual),
        st.sampled_from(["", "", "", "", *KEYS, "".join(KEYS)]),
        st.one_of(st.just({}), st.dictionaries(st.sampled_from(KEYS), values, max_size=1)),
    )


@st.composite
def condition_requests(draw: st.DrawFn, values: st.SearchStrategy[Any] = json_values) -> Request:
    """Draw a normalised request over the attributes that `conditions` read."""
    maps = attribute_maps(values)
    return Request(
        {"type": "user", "id": draw(st.sampled_from(TEXTS)), "properties": draw(maps)},
        {"name": draw(st.sampled_from(TEXTS)), "properties": {}},
        {"type": "service", "id": draw(st.sampled_from(TEXTS)), "properties": draw(maps)},
        draw(maps),
        now=draw(st.sampled_from([0.0, 1_700_000_000.0, 1_700_000_000.5, -1.5, 253_402_300_799.0])),
        host={"env": draw(st.sampled_from(TEXTS)), "zone": "z1"},
    )


def conditions(*, depth: int = 3) -> st.SearchStrategy[Node]:
    """Draw a condition that gives a boolean and that CEL's type checker accepts."""
    return _boolean("bool", depth, ())


_USUAL_KEY = {"bool": "b", "int": "n", "double": "n", "string": "s"}


@st.composite
def _attributes(draw: st.DrawFn, kind: str, bound: tuple[str, ...]) -> Node:
    """Draw a variable that can hold anything, and usually holds a value of that kind."""
    key = _USUAL_KEY.get(kind, "l") if draw(st.integers(0, 3)) else draw(st.sampled_from(KEYS))
    if bound and draw(st.integers(0, 2)) > 0:
        name = draw(st.sampled_from(bound))
        return ["var", name, key] if draw(st.integers(0, 9)) == 0 else ["var", name]
    shape = draw(st.integers(0, 19))
    if shape > 6:
        return [["var", "context"], ["var", "subject", "properties"], ["var", "data"]][shape % 3] + [key]
    other = draw(st.sampled_from(KEYS))
    return [
        ["var", "resource", "properties", key],
        ["var", "context", "m", key],
        ["var", "subject", "id"],
        ["var", "data", "m", other],
        ["index", ["var", "context", "l"], draw(st.sampled_from([0, 1, -1, ["double", "1.0"]]))],
        ["index", ["var", "context"], ["var", "context", "s"]],
        ["select", ["index", ["list", ["var", "context"]], 0], key],
    ][shape]


@st.composite
def _leaves(draw: st.DrawFn, kind: str, bound: tuple[str, ...]) -> Node:
    if kind not in ("timestamp", "duration", "null") and draw(st.integers(0, 2)):
        return draw(_attributes(kind, bound))
    if kind == "double":
        return ["double", repr(draw(st.sampled_from(DOUBLES)))]
    if kind == "timestamp":
        return draw(st.sampled_from([["var", "now"], *(["timestamp", moment] for moment in TIMES_US)]))
    if kind == "duration":
        return ["duration", draw(st.sampled_from(DURATIONS_US))]
    if kind == "list any":
        return ["list", draw(_attributes(kind, bound)), *draw(st.lists(_attributes("string", bound), max_size=1))]
    literals: dict[str, list[Node]] = {
        "null": [None],
        "bool": [True, False],
        "int": INTEGERS,
        "string": [*TEXTS, ["var", "host", "env"]],
        "list int": [["list"], ["list", 1, 2], ["list", INT_MAX], ["list", 0, 1]],
        "list string": [["list"], ["list", "sre", "a"], ["list", "b"], ["list", ["var", "host", "env"]]],
    }
    return draw(st.sampled_from(literals[kind]))


@st.composite
def _operations(draw: st.DrawFn, kind: str, depth: int, bound: tuple[str, ...]) -> Node:
    choice = draw(st.integers(0, 9))
    if depth == 0 or choice < 3:
        return draw(_leaves(kind, bound))
    depth -= 1
    if choice == 9 and kind not in ("list any", "null"):
        inner = _operations(kind, depth, bound)
        return ["?:", draw(_operations("bool", depth, bound)), draw(inner), draw(inner)]
    build = {"bool": _boolean, "int": _number, "double": _number, "string": _text}.get(kind, _other)
    return draw(build(kind, depth, bound))


@st.composite
def _boolean(draw: st.DrawFn, _kind: str, depth: int, bound: tuple[str, ...]) -> Node:
    name = draw(
        st.sampled_from(["&&", "||", "&&", "||", "!", "==", "!=", "<", "<=", ">", ">=", "in", "has", "text", "loop"])
    )
    inner = _operations("bool", depth, bound)
    if name in ("&&", "||"):
        return _chain(name, draw(st.lists(inner, min_size=2, max_size=3)))
    if name == "!":
        operand = draw(inner)  # the library's parser drops double negation
        return operand if type(operand) is list and operand[0] == "!" else ["!", operand]
    if name in ("==", "!="):
        kind = draw(st.sampled_from([*_SCALAR_KINDS, *_LIST_KINDS]))
    elif name in ORDERINGS:
        kind = draw(st.sampled_from(["int", "double", "string", "bool", "timestamp", "duration"]))
    elif name == "in":
        element, kind = draw(st.sampled_from([("int", "list int"), ("string", "list string"), ("bool", "list any")]))
        return ["in", draw(_operations(element, depth, bound)), draw(_operations(kind, depth, bound))]
    elif name == "has":
        operand = draw(st.one_of(_attributes("map", bound), st.just(["var", "context"])))
        return ["has", operand, draw(st.sampled_from(KEYS))]
    elif name == "text":
        text = _operations("string", depth, bound)
        return [draw(st.sampled_from(sorted(TEXT_TESTS))), draw(text), draw(text)]
    else:
        return draw(_loop(st.sampled_from(["exists", "all", "exists_one"]), "bool", depth, bound))
    operands = _operations(kind, depth, bound)
    return [name, draw(operands), draw(operands)]


@st.composite
def _number(draw: st.DrawFn, kind: str, depth: int, bound: tuple[str, ...]) -> Node:
    inner = _operations(kind, depth, bound)
    name = draw(st.sampled_from(["+", "-", "*", "/", "neg", *(["%", "size"] if kind == "int" else [])]))
    if name == "neg":
        operand = draw(inner)
        return operand if type(operand) is list and operand[0] == "neg" else ["neg", operand]
    if name == "size":
        return ["size", draw(_operations(draw(st.sampled_from(["string", *_LIST_KINDS])), depth, bound))]
    return [name, draw(inner), draw(inner)]


def _text(kind: str, depth: int, bound: tuple[str, ...]) -> st.SearchStrategy[Node]:
    inner = _operations(kind, depth, bound)
    return st.builds(lambda a, b: ["+", a, b], inner, inner)


@st.composite
def _other(draw: st.DrawFn, kind: str, depth: int, bound: tuple[str, ...]) -> Node:
    """Draw a timestamp, duration, list or null."""
    if kind == "null":
        return None
    if kind == "timestamp":
        return [
            draw(st.sampled_from(["+", "-"])),
            draw(_operations("timestamp", depth, bound)),
            draw(_operations("duration", depth, bound)),
        ]
    if kind == "duration":
        inner = _operations(draw(st.sampled_from(["timestamp", "duration"])), depth, bound)
        return ["-", draw(inner), draw(inner)]
    if draw(st.booleans()):
        inner = _operations(kind, depth, bound)
        return ["+", draw(inner), draw(inner)]
    body = {"list int": "int", "list string": "string", "list any": "bool"}[kind]
    return draw(_loop(st.just("map"), body, depth, bound))


@st.composite
def _loop(draw: st.DrawFn, names: st.SearchStrategy[str], body: str, depth: int, bound: tuple[str, ...]) -> Node:
    variable = draw(st.sampled_from(["x", "y"]))
    operand = draw(
        _operations("list any", depth, bound) if draw(st.integers(0, 3)) == 0 else _attributes("list", bound)
    )
    if draw(st.integers(0, 3)) == 0:
        operand = ["filter", operand, "v", draw(_operations("bool", depth, (*bound, "v")))]
    # `bound` may hold the name already: the inner one hides it
    return [draw(names), operand, variable, draw(_operations(body, depth, (*bound, variable)))]


def _chain(name: str, operands: list[Node]) -> Node:
    flat: list[Node] = []
    for operand in operands:
        flat += operand[1:] if type(operand) is list and operand[0] == name else [operand]
    return [name, *flat]


@st.composite
def odd_conditions(draw: st.DrawFn, depth: int = 4, bound: tuple[str, ...] = ()) -> Node:
    """Draw any condition of the grammar, well typed or not; most of them are errors on most requests."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(_leaves(draw(st.sampled_from([*_SCALAR_KINDS, *_LIST_KINDS])), bound))
    inner = odd_conditions(depth - 1, bound)
    name = draw(
        st.sampled_from([*sorted(BINARY), *sorted(ARITHMETIC), *sorted(COMPREHENSIONS), "&&", "||", "!", "neg", "?:"])
    )
    if name in COMPREHENSIONS:
        variable = draw(st.sampled_from(["x", "y"]))
        return [name, draw(inner), variable, draw(odd_conditions(depth - 1, (*bound, variable)))]
    if name in ("&&", "||"):
        return _chain(name, [draw(inner), draw(inner)])
    return [name, *(draw(inner) for _ in range(1 if name in ("!", "neg") else 3 if name == "?:" else 2))]
