"""The reference memory: every counted request is kept, and counting means looking at all of them."""

from collections.abc import Mapping

from policy_core.decision import GRANT_REPLAYED, Ask, RefusedGrant
from policy_core.grants import USED, Verdict, check_grants
from policy_core.memory import Oblivious
from policy_core.model import Approver, Rule
from policy_core.request import Request


class PlainMemory(Oblivious):
    """Remembers everything, in lists; a memory of the host named `audience`."""

    audience = "host"

    def __init__(self) -> None:
        self.counted: list[tuple[str, str, float]] = []
        self.spent: list[str] = []

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return None while fewer than `limit` requests were counted in the window that ends now."""
        assert rule.rate is not None  # noqa: S101 - only rated rules are asked about
        window_s = rule.rate.window_s
        times = sorted(at for name, of, at in self.counted if (name, of) == (rule.name, key) and at + window_s > now)
        return times[-rule.rate.limit] + window_s - now if len(times) >= rule.rate.limit else None

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:  # noqa: ARG002 - the port's signature
        """Count a request; nobody else ever counts here."""
        self.counted.append((rule.name, key, now))
        return True

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what the grants of a request are worth."""
        return check_grants(request, ask, approvers, is_spent=lambda grant: grant.nonce in self.spent)

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Spend grants; one that is spent already is refused."""
        nonces = [grant.nonce for grant in verdict.grants]
        refused = [number for number, nonce in enumerate(nonces) if nonce in self.spent]
        if not refused:
            self.spent += nonces
        return tuple(RefusedGrant(number, GRANT_REPLAYED, USED) for number in refused)
