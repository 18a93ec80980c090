"""Facts that callers cannot lie away: risk tags the policy itself gives to actions and resources.

They are joined to what a request claims, by union and never by subtraction, before any rule looks at it. They rest on
the scalars every request has, so a classification can be true or false but never an error.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeAlias

from policy_core.glob import any_glob
from policy_core.model import Classification
from policy_core.remembering import Remembered
from policy_core.request import Request

MAX_REMEMBERED_ACTIONS = 10_000
MAX_REMEMBERED_CHARS = 200  # of one action name, which the caller chooses

Test: TypeAlias = Callable[[Request], bool]
Entry: TypeAlias = tuple[tuple[Test, ...], frozenset[str]]
"""What a resource must be, and the tags the request then carries."""


class Classifier:
    """Adds the tags of a policy's classifications to requests; what an action name decides is remembered (bounded)."""

    def __init__(self, classifications: Iterable[Classification]) -> None:
        self._entries = [
            (any_glob(each.actions or ("*",)), (_tests(each), frozenset(each.risk_tags))) for each in classifications
        ]
        self._by_action: Remembered[str, tuple[frozenset[str], tuple[Entry, ...]]] = Remembered(MAX_REMEMBERED_ACTIONS)

    def __call__(self, request: Request) -> Request:
        """Return the request with the tags it carries whatever it claims; the very same if it claims them all."""
        tags, entries = self._about(request.action_name)
        for tests, found in entries:
            for test in tests:
                if not test(request):
                    break
            else:
                tags |= found
        return request.carrying(tags) if tags else request

    def _about(self, action: str) -> tuple[frozenset[str], tuple[Entry, ...]]:
        """Return the tags that an action has on every resource, and the entries that depend on the resource."""
        known = self._by_action.get(action)
        if known is None:
            entries = [entry for matches, entry in self._entries if matches(action)]
            always = frozenset[str]().union(*(found for tests, found in entries if not tests))
            known = always, tuple(entry for entry in entries if entry[0])
            if len(action) <= MAX_REMEMBERED_CHARS:
                self._by_action.put(action, known)
        return known


def _tests(classification: Classification) -> tuple[Test, ...]:
    wanted = (("resource_type", classification.resource_types), ("resource_id", classification.resource_ids))
    return tuple(_test(attribute, patterns) for attribute, patterns in wanted if patterns)


def _test(attribute: str, patterns: tuple[str, ...]) -> Test:
    matches, read = any_glob(patterns), attrgetter(attribute)
    return lambda request: matches(read(request))
