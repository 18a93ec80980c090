"""What emergency entries take back: exceptions, and the word of approvers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from policy_core.decision import GRANT_REVOKED, Ask, RefusedGrant
from policy_core.grants import MAX_GRANTS, Grant, GrantError, Verdict, decode_grant, grant_id
from policy_core.memory import Memory
from policy_core.model import Approver
from policy_core.request import Request

_REVOKED = "revoked by an emergency entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Ids of what no longer counts: exceptions and approvers as the policy names them, grants as `grant_id` does."""

    exceptions: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    grants: frozenset[str] = frozenset()

    def over(self, memory: Memory) -> Memory:
        """Return a memory for which the grants that are revoked do not count; itself, if none are."""
        return WaryMemory(memory, self) if self.approvers or self.grants else memory


NOTHING_REVOKED = Revoked()


class WaryMemory:
    """A memory in which the grants of some people, and some grants, do not count."""

    def __init__(self, memory: Memory, revoked: Revoked) -> None:
        self.audience = memory.audience
        self.retry_after = memory.retry_after
        self.count = memory.count
        self.spend = memory.spend
        self._check = memory.check
        self._revoked = revoked

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what the grants of a request are worth; where a revoked one counted, asked again without those."""
        verdict = self._check(ask, request, approvers)
        revoked = self._revoked
        if revoked.approvers.isdisjoint(verdict.approvers) and not any(map(self._names, verdict.grants)):
            return verdict
        left = {name: approver for name, approver in approvers.items() if name not in revoked.approvers}
        keys = {approver.key for name, approver in approvers.items() if name in revoked.approvers}
        given = request.context.get("grants")
        tokens = given if type(given) is list else [given]
        taken = {number for number, token in enumerate(tokens[:MAX_GRANTS]) if self._is_revoked(token, keys)}
        verdict = self._check(ask, _with_grants(request, tokens, without=taken), left)
        return replace(
            verdict,
            refused=tuple(
                RefusedGrant(each.grant, GRANT_REVOKED, _REVOKED) if each.grant in taken else each
                for each in verdict.refused
            ),
        )

    def _names(self, grant: Grant) -> bool:
        return grant_id(grant) in self._revoked.grants

    def _is_revoked(self, token: object, keys: set[str]) -> bool:
        try:
            grant = decode_grant(token)
        except GrantError:
            return False
        return grant.key in keys or self._names(grant)


def _with_grants(request: Request, tokens: Sequence[object], *, without: set[int]) -> Request:
    """Return a request whose grants keep their places, with nothing in some of them."""
    grants = [None if number in without else token for number, token in enumerate(tokens)]
    context = {**request.context, "grants": grants}
    return Request(request.subject, request.action, request.resource, context, now=request.now, host=request.host)
