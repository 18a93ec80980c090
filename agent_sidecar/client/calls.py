"""From a call to the request that is decided: who calls, what is done to what, and the facts that rules look at.

Everything is taken from the arguments by name, as the function will get them. Texts may have ``{name}`` in them, which
is replaced by that argument if it is a text or a whole number: nothing else has one spelling.
"""

import contextlib
import string
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from policy_core.errors import UsageError
from policy_core.request import RequestError

Arguments = Mapping[str, Any]
"""The arguments of a call by the names of their parameters, defaults included."""
Subject = Mapping[str, object] | Callable[[Arguments], Mapping[str, object]] | None
Action = str | Callable[[Arguments], str]
Resource = tuple[str, str] | Callable[[Arguments], Mapping[str, object]]
Context = Collection[str] | Callable[[Arguments], Mapping[str, object]]

_subject: ContextVar[Mapping[str, object] | None] = ContextVar("writ_subject", default=None)


class SubjectError(UsageError):
    """Nobody has said for whom the action is done."""

    default_hint = "call it within `with acting_as(type, id, …):`, or give the guard a `subject`"


@contextlib.contextmanager
def acting_as(subject_type: str, subject_id: str, **properties: object) -> Iterator[None]:
    """Say for whom guarded functions are called in the block, as you have authenticated them (a context variable)."""
    subject = {"type": subject_type, "id": subject_id, "properties": properties}
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


@dataclass(frozen=True, slots=True)
class CallMapping:
    """Makes requests of the calls of one function."""

    subject: Subject
    action: Action
    resource: Resource
    context: Context

    def check(self, parameters: Collection[str]) -> None:
        """Raise UsageError if a name that is no parameter would be looked for in every call."""
        texts = [part for part in (self.action, *_texts(self.resource)) if isinstance(part, str)]
        names = [name for text in texts for name in _names(text)]
        names += [] if callable(self.context) else list(self.context)
        unknown = sorted(set(names) - set(parameters))
        if unknown:
            raise UsageError(f"guard: {', '.join(unknown)} is no parameter (expected {', '.join(parameters)})")

    def request(self, arguments: Arguments) -> dict[str, Any]:
        """Return the request of a call. Raises SubjectError, and RequestError for what cannot be said in one."""
        action, resource, context = self.action, self.resource, self.context
        return {
            "subject": self._subject(arguments),
            "action": {"name": action(arguments) if callable(action) else _filled(action, arguments)},
            "resource": resource(arguments) if callable(resource) else _typed(*resource, arguments),
            "context": dict(context(arguments)) if callable(context) else {name: arguments[name] for name in context},
        }

    def _subject(self, arguments: Arguments) -> Mapping[str, object]:
        if callable(self.subject):
            return self.subject(arguments)
        subject = self.subject or _subject.get()
        if subject is None:
            raise SubjectError("guard: nobody has said for whom this is done")
        return subject


def _typed(resource_type: str, resource_id: str, arguments: Arguments) -> dict[str, str]:
    return {"type": _filled(resource_type, arguments), "id": _filled(resource_id, arguments)}


def _texts(resource: Resource) -> tuple[str, ...]:
    return () if callable(resource) else resource


def _names(template: str) -> list[str]:
    """Return the names in a text. Raises UsageError for anything else in braces."""
    found = []
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"guard: {template!a}: {error}") from error
    for _, name, spec, conversion in parts:
        if name is not None:
            if not name.isidentifier() or spec or conversion:
                raise UsageError(f"guard: {template!a}: only {{name}} of a parameter is replaced (found {name!a})")
            found.append(name)
    return found


def _filled(template: str, arguments: Arguments) -> str:
    if "{" not in template and "}" not in template:
        return template
    values = {}
    for name in _names(template):
        value = arguments.get(name)
        if not isinstance(value, str) and type(value) is not int:
            raise RequestError(f"request: {name} is neither a text nor a whole number", hint="map it by a function")
        values[name] = str.__str__(value) if isinstance(value, str) else value  # an enum's text, not the name of it
    return template.format(**values)
