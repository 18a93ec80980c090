"""Attribute tests compiled to closures; `policy_core.attributes.holds` says what each operator means."""

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from policy_core.attributes import compile_regex, parse_address, parse_network
from policy_core.glob import any_glob
from policy_core.model import AttributeTests, Scalar
from policy_core.request import Request

Test: TypeAlias = Callable[[Any], bool | None]
"""Says about a value (None: absent) whether an operator holds; None is an error."""


def attribute_check(path: str, tests: AttributeTests) -> Callable[[Request], bool | None]:
    """Return the check of one path: Kleene's AND over its operators."""
    read = reader(path)
    parts = tuple(_OPERATORS[name](wanted) for name, wanted in tests.operators().items())
    if len(parts) == 1:
        only = parts[0]
        return lambda request: only(read(request))

    def check(request: Request) -> bool | None:
        value = read(request)
        outcome: bool | None = True
        for part in parts:
            held = part(value)
            if held is False:
                return False
            if held is None:
                outcome = None
        return outcome

    return check


def reader(path: str) -> Callable[[Request], Any]:
    """Return the function that reads a dotted path; None where any part of it is absent or no object."""
    root, *rest = path.split(".")
    get, fields = operator.attrgetter(root), tuple(rest)

    def read(request: Request) -> Any:
        value = get(request)
        for field in fields:
            if type(value) is not dict:
                return None
            value = value.get(field)
        return value

    return read


def accepting(wanted: tuple[Scalar, ...], matches: Callable[[str], bool]) -> Test:
    """Return what tells whether a value is among those wanted, strings by `matches`; None if no type fits."""
    has_strings = any(isinstance(value, str) for value in wanted)
    booleans = frozenset(value for value in wanted if isinstance(value, bool))
    numbers = frozenset(value for value in wanted if not isinstance(value, bool | str))

    def accepts(value: Any) -> bool | None:
        kind = type(value)
        if kind is str:
            return matches(value) if has_strings else None
        if kind is bool:
            return value in booleans if booleans else None
        if kind is int or kind is float:
            return value in numbers if numbers else None
        return None

    return accepts


def _among(wanted: Any) -> Test:
    strings = frozenset(value for value in wanted if isinstance(value, str))
    return accepting(tuple(wanted), strings.__contains__)


def _not_among(wanted: Any) -> Test:
    among = _among(wanted)

    def test(value: Any) -> bool | None:
        held = among(value)
        return None if held is None else not held

    return test


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def make(wanted: Any) -> Test:
        return lambda value: compare(value, wanted) if type(value) is int or type(value) is float else None

    return make


def _exists(wanted: Any) -> Test:
    return lambda value: (value is not None) is wanted


def _text(matches: Callable[[str], bool]) -> Test:
    return lambda value: matches(value) if type(value) is str else None


def _cidr(wanted: Any) -> Test:
    networks = tuple(map(parse_network, wanted))

    def test(value: Any) -> bool | None:
        address = parse_address(value) if type(value) is str else None
        return None if address is None else any(address in network for network in networks)

    return test


def _regex(wanted: Any) -> Test:
    patterns = tuple(compile_regex(text).fullmatch for text in wanted)

    def test(value: Any) -> bool | None:
        if type(value) is not str:
            return None
        try:
            return any(matches(value) is not None for matches in patterns)
        except UnicodeEncodeError:  # half of a surrogate pair
            return None

    return test


_OPERATORS: dict[str, Callable[[Any], Test]] = {
    "eq": lambda wanted: _among((wanted,)),
    "ne": lambda wanted: _not_among((wanted,)),
    "in": _among,
    "not_in": _not_among,
    "glob": lambda wanted: _text(any_glob(wanted)),
    "prefix": lambda wanted: _text(lambda value: value.startswith(tuple(wanted))),
    "lt": _ordered(operator.lt),
    "le": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "ge": _ordered(operator.ge),
    "exists": _exists,
    "cidr": _cidr,
    "regex": _regex,
}
