"""A loaded policy under emergency entries: made over its matcher in milliseconds, without loading it again.

The law, whatever the policy, the request and the memory: no answer is less strict than the policy's own, and one that
still allows allows nothing wider. Strictest is deny, then require_approval, throttle, and what is allowed. Denies are
asked before the policy and take nothing from the memory. Where something is revoked, the stricter of two answers is
given: the policy's own, and the one without what is revoked (`policy_core.matcher.judging`).
"""

from dataclasses import dataclass

import msgspec

from policy_core.decision import Answer
from policy_core.matcher.encoding import encode_rules
from policy_core.matcher.matcher import Matcher, load
from policy_core.memory import Memory, Oblivious
from policy_core.model import Provisions, Rule
from policy_core.request import Request
from policy_core.revoking import NOTHING_REVOKED, Revoked

_OBLIVIOUS = Oblivious()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What lies over a policy: rules that deny, in order, and what is revoked."""

    denies: tuple[Rule, ...] = ()
    revoked: Revoked = NOTHING_REVOKED


class TightenedMatcher(Matcher):
    """A matcher under an `overlay`; `base` is the one beneath, whose rules and index it shares."""

    __slots__ = ("_denies", "base", "overlay")

    def __init__(self, base: Matcher, overlay: Overlay) -> None:
        index, combiner, judge, provisions = base.parts
        super().__init__(index, combiner, judge.revoking(overlay.revoked), _remaining(provisions, overlay.revoked))
        self.base = base
        self.overlay = overlay
        self._denies: Matcher | None = None
        if overlay.denies:
            beside = Provisions(data=provisions.data)
            self._denies = load(encode_rules(overlay.denies), policy=base.policy, provisions=beside)

    def candidates(self, request: Request) -> list[Rule]:
        """Return rules that may apply to a classified request or be in error, those of the overlay first."""
        denies = self._denies.candidates(request) if self._denies else []
        return [*denies, *super().candidates(request)]

    def decide(self, claimed: Request, *, decision_id: str = "", memory: Memory = _OBLIVIOUS) -> Answer:
        """Return the complete answer to a normalised request; a deny of the overlay is one before any other rule."""
        if self._denies is not None:
            before = self._denies.cache_hits
            answer = self._denies.decide(self.classified(claimed), decision_id=decision_id)
            if answer.matched_rule:
                self._cache.hits += self._denies.cache_hits - before
                return answer
        return super().decide(claimed, decision_id=decision_id, memory=memory)

    def lasting(self, claimed: Request) -> None:
        """Return that no answer lasts: an emergency is no time to find out."""


def tighten(matcher: Matcher, overlay: Overlay) -> Matcher:
    """Return a matcher under an overlay: itself, if nothing lies over it.

    Raises MatcherFormatError for a rule that cannot be loaded.
    """
    return matcher if overlay == Overlay() else TightenedMatcher(matcher, overlay)


def _remaining(provisions: Provisions, revoked: Revoked) -> Provisions:
    return msgspec.structs.replace(
        provisions,
        exceptions=tuple(each for each in provisions.exceptions if each.id not in revoked.exceptions),
        approvers=tuple(each for each in provisions.approvers if each.id not in revoked.approvers),
    )
