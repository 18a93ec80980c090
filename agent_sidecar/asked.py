"""What was asked, in whatever protocol: the decoded request, and what the decision log says of it."""

from collections.abc import Sequence

import msgspec

from policy_core.grants import Grant, claims_of, encoded_request_digest
from policy_core.redacting import Parts
from policy_core.request import RequestError, canonical

Claims = Sequence[Grant | dict[str, str]]
_sorted = msgspec.json.Encoder(order="sorted").encode


class Told(msgspec.Struct, frozen=True, gc=False):
    """What the log says of a request: its canonical form as JSON with sorted keys, its digest, and what grants say."""

    input: bytes
    digest: bytes
    grants: Claims = ()


class Asked:
    """What was asked: decoded, not yet looked at."""

    __slots__ = ("raw",)

    def __init__(self, raw: object) -> None:
        self.raw = raw

    @property
    def told(self) -> Told | None:
        """Return what the log says of it; None for what is no request."""
        parts, grants = canonical_parts(self.raw)
        return None if parts is None else tell(parts, grants)


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
