"""Numbers that rules compare with, moved by one: the mutants that a test at the very limit notices."""

from collections.abc import Iterator
from typing import Any

import msgspec

from policy_core.attributes import ORDERED
from policy_core.model import TimeWindow
from policy_core.windows import check_window, describe

_MOVABLE_BELOW = 2**53


def move_number(number: int | float) -> Iterator[int | float]:
    """Yield a number less one and plus one; nothing for one so large that this could leave its range."""
    if abs(number) < _MOVABLE_BELOW - 1:
        yield number - 1
        yield number + 1


def move_tests(clauses: msgspec.Struct, path: str) -> Iterator[tuple[Any, str]]:
    """Yield clauses with each number that is compared by order moved by one."""
    for field in msgspec.structs.fields(clauses):
        value, below = getattr(clauses, field.name), f"{path}.{field.encode_name}"
        changes: Iterator[tuple[Any, str]] = iter(())
        if isinstance(value, TimeWindow):
            changes = _move_window(value, below)
        elif isinstance(value, msgspec.Struct):
            changes = move_tests(value, below)
        elif isinstance(value, dict):
            changes = (
                ({**value, key: changed}, change)
                for key, item in value.items()
                if isinstance(item, msgspec.Struct)
                for changed, change in move_tests(item, f"{below}.{key}")
            )
        elif field.encode_name in ORDERED and value is not None:
            changes = ((moved, f"{below}: {value} becomes {moved}") for moved in move_number(value))
        for changed, change in changes:
            yield msgspec.structs.replace(clauses, **{field.name: changed}), change


def _move_window(window: TimeWindow, path: str) -> Iterator[tuple[TimeWindow, str]]:
    """Yield a window with each of its limits moved by one: by a second, in ``between`` by a minute."""
    limits: list[tuple[str, object]] = []
    for name in ("after", "before"):
        moment = getattr(window, name)
        limits += [(name, moment + step) for step in (-1, 1)] if moment is not None else []
    if window.between is not None:
        start, end = window.between
        limits += [("between", (start + step, end)) for step in (-1, 1)]
        limits += [("between", (start, end + step)) for step in (-1, 1)]
    was = describe(window)
    for name, limit in limits:
        changed = msgspec.structs.replace(window, **{name: limit})
        if not check_window(changed):
            yield changed, f"{path}.{name}: {_limit(was[name])} becomes {_limit(describe(changed)[name])}"


def _limit(written: str | list[str]) -> str:
    return written if isinstance(written, str) else " to ".join(written)
