"""Which requests cannot flip: those about which no rule that differs between two revisions has anything to say.

Rules are combined whatever their order, so what two revisions share says the same about a request on both sides. Only
where a rule of one side alone applies, or is in error, can the answers differ; the rest need not be decided at all.
"""

from collections.abc import Callable, Iterable

import msgspec

from policy_core.decision import NO_MATCHING_RULE, PolicyRef
from policy_core.matcher import Matcher, encode_rules, load
from policy_core.model import Decision, Rule
from policy_core.request import Request

_NOWHERE = PolicyRef(bundle="", revision="")


def unaffected(before: Matcher, after: Matcher) -> Callable[[Request], bool]:
    """Return what tells of a request that decision and constraints are the same on both sides.

    It may say no of requests whose answers are the same after all, and does so of every one if the revisions differ in
    more than rules, or in more than half of those.
    """
    old, new = ({msgspec.json.encode(rule): rule for rule in side.rules} for side in (before, after))
    shared = old.keys() & new.keys()
    same_beside = _beside(before) == _beside(after)
    same_order = [key for key in old if key in shared] == [key for key in new if key in shared]
    if not same_beside or not same_order or 2 * len(shared) < max(len(old), len(new)):
        return lambda _: False
    probes = _probes(rule for side in (old, new) for key, rule in side.items() if key not in shared)
    beside = msgspec.structs.replace(
        before.provisions, exceptions=()
    )  # what a rule says is asked, not whether it counts
    decide = load(encode_rules(probes), policy=_NOWHERE, provisions=beside).decide
    return lambda request: decide(request).reason_code == NO_MATCHING_RULE


def _beside(side: Matcher) -> bytes:
    """Return what decides beside the rules; limits for hosts decide nothing."""
    return msgspec.json.encode(msgspec.structs.replace(side.provisions, hosts=None))


def _probes(rules: Iterable[Rule]) -> list[Rule]:
    """Return rules that deny wherever one of these applies or is in error, whatever it decides and however often."""
    asked = {msgspec.json.encode((rule.match, rule.unless, rule.when)): rule for rule in rules}
    return [
        Rule("", str(number), Decision.DENY, match=rule.match, unless=rule.unless, when=rule.when)
        for number, rule in enumerate(asked.values())
    ]
