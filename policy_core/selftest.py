"""The self-test of a bundle: requests of its own policy tests, answered by the matcher that is about to go live.

It guards against a sidecar that reads a bundle differently from the builder that tested it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from policy_core.errors import InvalidError
from policy_core.matcher import Matcher
from policy_core.memory import Assumed
from policy_core.request import RequestError, normalise

MAX_CASES = 500


class SelfTestError(InvalidError):
    """The matcher answers a request of the bundle's own tests differently from what they expect."""

    default_hint = "builder and sidecar disagree about this policy: bring them to the same version"


class SelfTestCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request in either form with its circumstances, and the decision (and deciding rule, if given) it must get.

    `counted` says how many allowed requests each rule has counted already, `approved_by` whose grants the request has.
    """

    request: Any
    decision: str
    matched_rule: str = ""
    now: float = 0.0
    host: dict[str, str] = {}
    counted: dict[str, int] = {}
    approved_by: tuple[str, ...] = ()

    @property
    def memory(self) -> Assumed:
        """Return what the case says of requests before it."""
        return Assumed(self.counted, self.approved_by)


def encode_cases(cases: Iterable[SelfTestCase]) -> bytes:
    """Return the cases as JSON lines, in the order given."""
    return msgspec.json.Encoder(order="sorted").encode_lines(list(cases))


def run_selftest(matcher: Matcher, content: bytes) -> Iterator[None]:
    """Answer every case, yielding after each so that a caller can let others run.

    Raises SelfTestError naming the first case whose answer differs, or that cannot be read.
    """
    try:
        cases = msgspec.json.Decoder(SelfTestCase).decode_lines(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SelfTestError(f"self-test: unreadable case: {error}") from error
    for number, case in enumerate(cases, start=1):
        try:
            request = normalise(case.request, now=case.now, host=case.host)
            answer = matcher.decide(request, memory=case.memory)
        except RequestError as error:
            raise SelfTestError(f"self-test case {number}: {error.message}") from error
        if answer.decision != case.decision or (case.matched_rule and answer.matched_rule != case.matched_rule):
            raise SelfTestError(
                f"self-test case {number}: wrong answer (expected {case.decision} {case.matched_rule}, "
                f"found {answer.decision} {answer.matched_rule})"
            )
        yield
