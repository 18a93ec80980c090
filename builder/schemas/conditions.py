"""Conditions held against declared schemas: the variables they read, and what they do with them.

The walk follows the condition's IR, so it reads variables in the order the source names them: a complaint counts them,
and `builder.language.cel.variable_offsets` knows where each stands. What cannot be told is let pass.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder.schemas.declarations import Declarations, Scope
from builder.schemas.findings import Complaint, kinds_text, never, undeclared, unlike
from builder.schemas.shapes import Declared, Place, declared, entries, kind_of, step
from policy_core.condition import ROOTS
from policy_core.condition.grammar import COMPREHENSIONS
from policy_core.condition.text import render_path
from policy_core.model import Condition

_COMPARISONS = frozenset({"==", "!="})
_ORDERINGS = frozenset({"<", "<=", ">", ">="})
_TAKES: Mapping[str, tuple[frozenset[str], str]] = {
    **dict.fromkeys(("&&", "||", "!", "?:"), (frozenset({"boolean"}), "is used as a condition")),
    **dict.fromkeys(("startsWith", "endsWith", "contains"), (frozenset({"string"}), "is searched as text")),
    **dict.fromkeys(("-", "*", "/", "%", "neg"), (frozenset({"number"}), "is calculated with")),
    "size": (frozenset({"string", "array", "object"}), "is measured"),
}
_ORDERED = frozenset({"string", "number", "boolean", "timestamp", "duration"})


@dataclass(frozen=True, slots=True)
class _Value:
    """What is known of one operand: its name and number if it is a variable, what it may be, what lies below it."""

    declared: Declared | None = None
    name: str = ""
    variable: int = -1
    place: Place | None = None
    constant: bool = False
    items: tuple["_Value", ...] = ()


_UNKNOWN = _Value()


def condition_complaints(
    condition: Condition, declarations: Declarations, scope: Scope
) -> Iterator[tuple[int, Complaint]]:
    """Yield (number of the variable, complaint) for everything in a condition that contradicts declared schemas."""
    walk = _Walk(declarations, scope)
    walk.value(condition, {})
    return iter(sorted(set(walk.complaints)))


class _Walk:
    def __init__(self, declarations: Declarations, scope: Scope) -> None:
        self.declarations = declarations
        self.scope = scope
        self.complaints: list[tuple[int, Complaint]] = []
        self.variables = 0

    def value(self, node: Any, bound: Mapping[str, Place | None]) -> _Value:
        """Return what is known of a node, noting what is wrong in it."""
        if not isinstance(node, list):
            return _Value(Declared(frozenset({kind_of(node)}), (node,)), constant=True)
        name, *operands = node
        if name == "var":
            return self.variable(operands[0], tuple(operands[1:]), bound)
        if name in ("has", "select"):
            return self.select(operands[0], operands[1], bound, tests=name == "has")
        if name in COMPREHENSIONS:
            return self.comprehension(name, operands, bound)
        if name in ("double", "timestamp", "duration"):
            return _Value(Declared(frozenset({"number" if name == "double" else name})), name=f"a {name}")
        values = [self.value(operand, bound) for operand in operands]
        return self.call(name, values)

    def variable(self, name: str, fields: tuple[str, ...], bound: Mapping[str, Place | None]) -> _Value:
        number = self.variables
        self.variables += 1
        text = render_path(name, fields)
        if name not in ROOTS:
            return self._below(text, number, bound.get(name), fields)
        if name == "now":
            return _Value(Declared(frozenset({"timestamp"})), text, number)
        path = (name, *fields)
        if complaint := undeclared(self.declarations, path, self.scope):
            self.complaints.append((number, complaint))
            return _UNKNOWN
        place = self.declarations.place(path, self.scope)
        return _Value(self.declarations.declared(path, self.scope), text, number, place)

    def select(self, operand: Any, field: str, bound: Mapping[str, Place | None], *, tests: bool) -> _Value:
        """Follow one more field, that of ``has(a.field)`` included."""
        if isinstance(operand, list) and operand[0] == "var" and operand[1] in ROOTS:
            value = self.variable(operand[1], (*operand[2:], field), bound)
        else:
            base = self.value(operand, bound)
            value = self._below(f"{base.name}.{field}", base.variable, base.place, (field,)) if base.name else _UNKNOWN
        return _Value(Declared(frozenset({"boolean"}))) if tests else value

    def _below(self, text: str, number: int, place: Place | None, fields: tuple[str, ...]) -> _Value:
        for field in fields:
            if not place:
                break
            place = step(place, field)
            if not place:
                self.complaints.append((number, (f"no schema declares {text}", "add it to the schema")))
        return _Value(declared(place), text, number, place) if place else _UNKNOWN

    def comprehension(self, name: str, operands: list[Any], bound: Mapping[str, Place | None]) -> _Value:
        operand, variable, body = operands
        ranged = self.value(operand, bound)
        self.need(ranged, frozenset({"array", "object"}), "is looped over")
        listed = ranged.place is not None and ranged.declared is not None and ranged.declared.kinds == {"array"}
        inner = self.value(body, {**bound, variable: entries(ranged.place or ()) if listed else None})
        if name == "map":
            return _UNKNOWN
        self.need(inner, frozenset({"boolean"}), "is used as a condition")
        return ranged if name == "filter" else _Value(Declared(frozenset({"boolean"})))

    def call(self, name: str, values: list[_Value]) -> _Value:
        if name in _TAKES:
            kinds, what = _TAKES[name]
            for value in values[:1] if name == "?:" else values:
                if "timestamp" not in (value.declared or Declared(frozenset())).kinds:
                    self.need(value, kinds, what)
        elif name in _COMPARISONS:
            self.compare(values[0], values[1])
        elif name in _ORDERINGS:
            self.order(values[0], values[1])
        elif name == "in":
            self.contained(values[0], values[1])
        if name == "list":
            return _Value(Declared(frozenset({"array"})), items=tuple(values))
        if name in ("index", "?:", "+", "-", "*", "/", "%", "neg"):
            return _UNKNOWN
        return _Value(Declared(frozenset({"number" if name == "size" else "boolean"})))

    def need(self, value: _Value, kinds: frozenset[str], what: str) -> None:
        if (
            value.declared
            and value.variable >= 0
            and (complaint := unlike(value.declared, kinds, f"{value.name} {what}, but"))
        ):
            self.complaints.append((value.variable, complaint))

    def compare(self, one: _Value, other: _Value) -> None:
        """Complain of two operands that can never be equal."""
        for value, against in ((one, other), (other, one)):
            if value.variable < 0 or not value.declared or not against.declared:
                continue
            if against.constant and against.declared.values:
                complaint = never(value.name, value.declared, against.declared.values[0])
            elif value.declared.kinds.isdisjoint(against.declared.kinds):
                kinds = (kinds_text(value.declared), kinds_text(against.declared))
                complaint = (f"{value.name} is declared as {kinds[0]}, and compared with {kinds[1]}", "")
            else:
                complaint = None
            if complaint:
                self.complaints.append((value.variable, complaint))
                return

    def order(self, one: _Value, other: _Value) -> None:
        """Complain of operands that have no order between them: that is an error on every host."""
        for value, against in ((one, other), (other, one)):
            if value.variable < 0 or not value.declared or not against.declared:
                continue
            if value.declared.kinds.isdisjoint(against.declared.kinds & _ORDERED):
                kinds = (kinds_text(value.declared), kinds_text(against.declared))
                message = f"{value.name} is declared as {kinds[0]}, and ordered against {kinds[1]}"
                self.complaints.append((value.variable, (message, "")))
                return

    def contained(self, element: _Value, container: _Value) -> None:
        self.need(container, frozenset({"array", "object"}), "is searched with in")
        for item in container.items:
            self.compare(element, item)
        inside = entries(container.place or ())
        if inside and container.declared and container.declared.kinds == {"array"}:
            self.compare(_Value(declared(inside), f"an entry of {container.name}", container.variable), element)
