"""When signed roles run out: how long before that they are signed anew, and how long before that people are warned."""

from datetime import datetime, timedelta

from policy_core.trust.chain import VerifiedRelease
from policy_core.trust.layout import is_oncall

RENEW_BEFORE = timedelta(days=60)
RENEW_TIMESTAMP_BEFORE = timedelta(days=14)  # two weekly runs of `writ maintain`
WARN_BEFORE = timedelta(days=30)
WARN_BEFORE_TIMESTAMP = timedelta(days=7)


def is_due(role: str, state: VerifiedRelease, now: datetime) -> bool:
    """Tell whether it is time to sign a role anew."""
    left = state.expires[role] - now
    return left < (min(RENEW_TIMESTAMP_BEFORE, _lifetime(state) / 2) if role == "timestamp" else RENEW_BEFORE)


def alarm(role: str, state: VerifiedRelease, now: datetime, *, retired: bool = False) -> str:
    """Return what to tell people about a role that runs out soon, or has; empty if there is time.

    `retired` is a channel that ``writ.yaml`` does not name any more.
    """
    expires = state.expires[role]
    left = expires - now
    if left >= (min(WARN_BEFORE_TIMESTAMP, _lifetime(state) / 4) if role == "timestamp" else WARN_BEFORE):
        return ""
    span = f"{left.days} days" if left >= timedelta(days=2) else f"{left // timedelta(hours=1)} hours"
    when = f"expires in {span}" if left > timedelta() else f"expired on {expires:%Y-%m-%d}"
    if retired:
        return f"{role} {when}: writ.yaml does not name it, so nothing renews it"
    if role in {"root", "targets"}:
        return f"{role} {when}: run `writ maintain` where its key is, or `writ keys renew {role}` if several sign it"
    return f"{role} {when}: run " + (f"`writ keys renew {role}`" if is_oncall(role) else "`writ refresh`")


def alarms(state: VerifiedRelease, now: datetime) -> tuple[str, ...]:
    """Return the alarms of all roles in a state."""
    return tuple(filter(None, (alarm(role, state, now) for role in state.expires)))


def _lifetime(state: VerifiedRelease) -> timedelta:
    return state.expires["timestamp"] - state.signed_at
