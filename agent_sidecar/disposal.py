"""Freeing policies that are no longer enforced, in slices: at once, a large one would hold up requests for long."""

from collections.abc import Callable, Iterable

from policy_core.matcher import Matcher


def unshared(old: Iterable[Matcher], kept: Iterable[Matcher]) -> list[Matcher]:
    """Return old matchers, one for each index, whose index none that is kept has."""
    whole = list(kept)
    gone: list[Matcher] = []
    for matcher in old:
        if not any(matcher.shares_rules(other) for other in (*whole, *gone)):
            gone.append(matcher)
    return gone


def take_apart(gone: list[Matcher], *, wait_for_requests: Callable[[], bool], pause: Callable[[], object]) -> None:
    """Free matchers that no new request can reach, once those are answered that had begun.

    Where that cannot be told they are left whole, and freed at once with their last user.
    """
    if gone and wait_for_requests():
        for matcher in gone:
            for _ in matcher.dismantle():
                pause()
