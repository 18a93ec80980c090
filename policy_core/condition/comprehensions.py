"""Closures of comprehensions, and the steps they pay.

Steps bound the work that requests with long lists can cause: a comprehension over n elements takes n steps, even where
it ends early; inside one, each operand of an operator costs more steps the larger it is (see `weighed`).
"""

from collections.abc import Callable, Iterable
from typing import Final

from policy_core.condition.code import Frame, Run
from policy_core.condition.operators import not_boolean
from policy_core.condition.values import (
    CHARS_PER_ELEMENT,
    ELEMENTS_PER_STEP,
    MAX_STEPS,
    ConditionError,
    LimitError,
    Value,
    elements,
    mismatch,
)
from policy_core.request import Request

_FREE_CHARS: Final = CHARS_PER_ELEMENT - 1
"""A text of up to that many characters costs nothing, which spares the most frequent operand a call."""


def spend(frame: Frame, steps: int) -> None:
    """Take steps from what is left; raise LimitError if that is not enough."""
    frame[0] -= steps
    if frame[0] < 0:
        raise LimitError(f"more than {MAX_STEPS} steps in comprehensions")


def weighed(operand: Run) -> Run:
    """Return an operand of an operator inside a comprehension: one step for each ten elements of its value."""

    def run(r: Request, f: Frame) -> Value:
        value = operand(r, f)
        kind = type(value)
        if kind is list or kind is dict or (kind is str and len(value) > _FREE_CHARS):
            spend(f, elements(value) // ELEMENTS_PER_STEP)
        return value

    return run


def text_test(general: Run, slot: int, texts: frozenset[str], *, negated: bool) -> Run:
    """Return the closure of ``x == "a"``, ``x != "a"`` or ``x in ["a", "b"]`` for a bound x, most often a short text.

    Such a text costs no step; whatever else x is goes to the `general` closure.
    """

    def run(r: Request, f: Frame) -> Value:
        value = f[slot]
        if type(value) is str and len(value) <= _FREE_CHARS:
            return (value in texts) is not negated
        return general(r, f)

    return run


def _range(operand: Run, node: Value) -> Callable[[Request, Frame], Iterable[Value]]:
    def run(r: Request, f: Frame) -> Iterable[Value]:
        value = operand(r, f)
        if type(value) is not list and type(value) is not dict:
            raise mismatch(node, value)
        f[0] -= len(value)
        if f[0] < 0:
            spend(f, 0)
        return value

    return run


def _quantifier(dominant: bool) -> Callable[[Run, int, Run, Value], Run]:
    """Return the maker of exists (true dominates errors) or all (false does)."""

    def make(operand: Run, slot: int, body: Run, node: Value) -> Run:
        items = _range(operand, node)

        def run(r: Request, f: Frame) -> bool:
            rest = iter(items(r, f))
            try:
                for item in rest:
                    f[slot] = item
                    value = body(r, f)
                    if value is dominant:
                        return bool(value)
                    if type(value) is not bool:
                        raise not_boolean(node, value)
            except ConditionError:
                if any_is(r, f, rest):
                    return dominant
                raise
            return not dominant

        def any_is(r: Request, f: Frame, rest: Iterable[Value]) -> bool:
            """Tell whether an element gives the value that wins over an error; their own errors do not matter."""
            for item in rest:
                f[slot] = item
                try:
                    if body(r, f) is dominant:
                        return True
                except ConditionError:
                    continue
            return False

        return run

    return make


def _filter(operand: Run, slot: int, body: Run, node: Value) -> Run:
    items = _range(operand, node)

    def run(r: Request, f: Frame) -> list[Value]:
        kept = []
        for item in items(r, f):
            f[slot] = item
            value = body(r, f)
            if value is True:
                kept.append(item)
            elif value is not False:
                raise not_boolean(node, value)
        return kept

    return run


def _exists_one(operand: Run, slot: int, body: Run, node: Value) -> Run:
    matching = _filter(operand, slot, body, node)
    return lambda r, f: len(matching(r, f)) == 1


def _map(operand: Run, slot: int, body: Run, node: Value) -> Run:
    items = _range(operand, node)

    def run(r: Request, f: Frame) -> list[Value]:
        results = []
        for item in items(r, f):
            f[slot] = item
            results.append(body(r, f))
        return results

    return run


MAKERS: Final[dict[str, Callable[[Run, int, Run, Value], Run]]] = {
    "exists": _quantifier(dominant=True),
    "all": _quantifier(dominant=False),
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
}
