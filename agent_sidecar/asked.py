"""What was asked, in whatever protocol: the decoded request, and what it alone decides.

That is what the decision log says of it and, under one activation, often the answer too.
"""

from collections.abc import Callable, Sequence

import msgspec

from agent_sidecar.activation import Answering
from policy_core.decision import Answer
from policy_core.decoding import decode_again
from policy_core.grants import Grant, claims_of, encoded_request_digest
from policy_core.redacting import Parts
from policy_core.request import RequestError, canonical

Claims = Sequence[Grant | dict[str, str]]
MAX_ANSWER_BYTES = 1_024
"""An answer that takes more is worked out each time."""
_NAME_BYTES, _ERROR_BYTES = 64, 192  # what Python adds to the text of each, as measured
_NEVER_ACTIVE = -1
_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode


class Told(msgspec.Struct, frozen=True, gc=False):
    """What the log says of a request: its canonical form as JSON with sorted keys, its digest, and what grants say."""

    input: bytes
    digest: bytes
    grants: Claims = ()


class Asked(msgspec.Struct, eq=False, gc=False):
    """What was asked: decoded, not yet looked at."""

    raw: object

    @property
    def told(self) -> Told | None:
        """Return what the log says of it; None for what is no request."""
        parts, grants = canonical_parts(self.raw)
        return None if parts is None else tell(parts, grants)

    def lasting(self, active: Answering, now: float) -> Answer | None:  # noqa: ARG002 - as `AskedAgain` has it
        """Return that no answer is known."""
        return None


class AskedAgain(msgspec.Struct, eq=False, gc=False):
    """What was asked before in the same bytes: the request that `pick` returns of a body that lost nothing when it was
    decoded, and `told`, what the log says of it.

    It has the answer of one activation, known by its number, and so keeps no policy in memory that is no longer in
    force.
    """

    body: bytes
    pick: Callable[[object], object]
    told: Told
    _activation: int = _NEVER_ACTIVE
    _answer: Answer | None = None

    @property
    def raw(self) -> object:
        """Return the request, decoded anew: nobody else has this one."""
        return self.pick(decode_again(self.body))

    def lasting(self, active: Answering, now: float) -> Answer | None:
        """Return the answer, to be copied, if an earlier one gave it under this activation and nothing can change it.

        Whether nothing can is found out the first time. Raises RequestError.
        """
        if now >= active.deny_after:
            return None
        if self._activation == active.number:
            return self._answer
        answer = active.lasting(self.raw, now=now)
        self._answer = answer if answer is None or _bytes_of(answer) <= MAX_ANSWER_BYTES else None
        self._activation = active.number
        return None


def _bytes_of(answer: Answer) -> int:
    """Return about what an answer takes: the names of rules are its own, and short ones take more than their text."""
    return len(_encode(answer)) + _NAME_BYTES * len(answer.applied_rules) + _ERROR_BYTES * len(answer.errors)


def canonical_parts(raw: object) -> tuple[Parts | None, Claims]:
    """Return a request in its canonical form without its grants, and what those say; None for what is no request."""
    try:
        subject, action, resource, context = canonical(raw)
    except RequestError:
        return None, ()
    if "grants" not in context:
        return (subject, action, resource, context), ()
    rest = {name: value for name, value in context.items() if name != "grants"}
    return (subject, action, resource, rest), claims_of(context["grants"])


def tell(parts: Parts, grants: Claims) -> Told:
    """Return what the log says of a request with these parts."""
    subject, action, resource, context = parts
    spelt = _sorted(subject), _sorted(action), _sorted(resource), _sorted(context)
    joined = b'{"subject":%b,"action":%b,"resource":%b,"context":%b}' % spelt
    return Told(joined, encoded_request_digest(*spelt).encode(), grants)
