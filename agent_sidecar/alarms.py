"""What is logged once when it begins: that the policy is no longer fresh, that a role must soon be signed anew."""

from agent_sidecar import logs
from agent_sidecar.freshness import Freshness, FreshnessState
from agent_sidecar.history import moment


class Alarms:
    """Compares each poll with the one before."""

    def __init__(self) -> None:
        self._state = FreshnessState.FRESH
        self._expiring: frozenset[str] = frozenset()

    def watch(self, freshness: Freshness, now: float) -> None:
        """Log what has changed for the worse since the last call, and that the policy is fresh again."""
        state = freshness.state(now)
        if state is not self._state:
            log = logs.info if state is FreshnessState.FRESH else logs.warning
            log("freshness", state=state.value, expires=moment(freshness.expires) if freshness.terms else "")
        expiring = freshness.expiring(now)
        for role in sorted(expiring - self._expiring):
            logs.warning("metadata_expiring", role=role, expires=moment(freshness.terms[role].expires))
        self._state, self._expiring = state, expiring
