"""What can be said against comparing an attribute with something, by what schemas declare of it."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from builder.language.fields import suggestion
from builder.schemas.declarations import Declarations, Scope
from builder.schemas.shapes import Declared, kind_of
from builder.schemas.validating import described
from policy_core.glob import match_glob

_WORDS = {
    "object": "a mapping", "array": "a list", "string": "text", "number": "a number", "boolean": "true or false",
    "null": "nothing", "timestamp": "a time", "duration": "a duration",
}  # fmt: skip
Complaint = tuple[str, str]
"""Message and hint."""


def undeclared(declarations: Declarations, path: tuple[str, ...], scope: Scope) -> Complaint | None:
    """Return the complaint about an attribute that no schema in question knows."""
    if declarations.place(path, scope) != ():
        return None
    depth = next(depth for depth in range(1, len(path) + 1) if declarations.place(path[:depth], scope) == ())
    known = declarations.names(path[: depth - 1], scope)
    message = f"no schema declares {'.'.join(path[:depth])}{_of(scope, path[0])}"
    return message, suggestion(path[depth - 1], known, "declared are") if known else "add it to the schema"


def unlike(found: Declared, accepted: Iterable[str], what: str) -> Complaint | None:
    """Return the complaint about an attribute of none of the accepted kinds; `what` begins the sentence."""
    if not found.kinds or not found.kinds.isdisjoint(accepted):
        return None
    return f"{what} is declared as {kinds_text(found)}", ""


def never(name: str, found: Declared, wanted: Any, *, glob: bool = False) -> Complaint | None:
    """Return the complaint about a value that an attribute is compared with and can never have."""
    if found.kinds and kind_of(wanted) not in found.kinds:
        return f"{name} is declared as {kinds_text(found)}, never {described(wanted)}", _quoting(wanted, found)
    if found.values is None or any(_same(wanted, value, glob=glob) for value in found.values):
        return None
    texts = [value for value in found.values if isinstance(value, str)]
    near = get_close_matches(wanted, texts, n=1) if isinstance(wanted, str) else []
    listed = ", ".join(map(str, found.values[:8]))
    hint = f"did you mean {near[0]!r}?" if near else f"declared are: {listed}{', …' if len(found.values) > 8 else ''}"
    return f"{name} is never {described(wanted)}, by its schema", hint


def kinds_text(found: Declared) -> str:
    """Return kinds as people say them."""
    return " or ".join(sorted(_WORDS[kind] for kind in found.kinds))


def _same(wanted: Any, value: Any, *, glob: bool) -> bool:
    if glob and isinstance(wanted, str) and isinstance(value, str):
        return match_glob(wanted, value)
    return kind_of(wanted) == kind_of(value) and bool(wanted == value)


def _quoting(wanted: Any, found: Declared) -> str:
    if found.kinds == {"string"} and isinstance(wanted, int | float):
        return "put it in quotes"
    return "write it without quotes" if isinstance(wanted, str) and found.kinds <= {"number", "boolean"} else ""


def _of(scope: Scope, root: str) -> str:
    globs = getattr(scope, root, ())
    return f" ({root} {', '.join(globs[:3])}{', …' if len(globs) > 3 else ''})" if globs else ""
