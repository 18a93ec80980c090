"""Conditions (``when``): their intermediate representation (IR), its checker, and the compiler the host runs.

The builder lowers a CEL expression to this IR; it travels inside the signed bundle as JSON. A node is a JSON scalar or
an array whose first element names it. One expression has one form, so equal conditions have equal bytes:

===============================================  =======================================================
node                                             meaning (CEL)
===============================================  =======================================================
``true`` ``false`` ``null`` ``"text"`` ``5``     constants; a JSON integer is an int of 64 bits
``["double", "1.5"]``                            a finite double, written as Python's ``repr`` writes it
``["timestamp", µs]`` ``["duration", µs]``       microseconds since 1970-01-01T00:00:00Z; microseconds
``["var", name, field, …]``                      variable and the fields selected from it
``["select", node, field]``                      field of anything but a ``var``
``["index", node, node]``                        ``a[b]``; ``b`` is no string constant (that is a select)
``["has", node, field]``                         ``has(a.field)``
``["list", node, …]``                            list literal
``["&&", node, node, …]`` ``["||", …]``          chains are flat: no operand has the same operator
``["!", a]`` ``["neg", a]`` ``["?:", c, a, b]``  not, unary minus, conditional
``["==", a, b]`` and so on                       ``== != < <= > >= in + - * / %``
``["startsWith", text, prefix]`` and so on       ``startsWith endsWith contains``
``["size", a]``                                  characters of a text, elements of a list, keys of a map
``["exists", range, name, body]`` and so on      ``exists all exists_one filter map``
===============================================  =======================================================

Variables are `ROOTS` and the names bound by comprehensions; a bound name is an identifier and never one of `ROOTS`.
The semantics are CEL's, restricted to the profile in docs/reference/conditions.md.
"""

from policy_core.condition.compiler import compile_condition
from policy_core.condition.grammar import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT_CHARS,
    ROOTS,
    ConditionFormatError,
    check_condition,
)
from policy_core.condition.text import render_condition
from policy_core.condition.values import MAX_STEPS, ConditionError

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_STEPS",
    "MAX_TEXT_CHARS",
    "ROOTS",
    "ConditionError",
    "ConditionFormatError",
    "check_condition",
    "compile_condition",
    "render_condition",
]
