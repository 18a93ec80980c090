"""Keep everything that is signed from expiring, root and targets included: ``writ maintain``, once a week.

What is close to its end is signed anew with the same keys, in one commit. No release comes of it.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from builder.publishing.expiry import is_due
from builder.publishing.private_keys import KeyMissingError
from builder.publishing.publisher import Publisher
from builder.publishing.roles import RoleChange, States, change_roles
from builder.publishing.state import LiveState
from policy_core.trust.layout import is_oncall


@dataclass(frozen=True, slots=True)
class Maintained:
    """The roles that were signed anew, and what could not be."""

    renewed: tuple[str, ...]
    warnings: tuple[str, ...]


def maintain(publishers: Mapping[str, Publisher], *, apart_from: Container[str] = ()) -> Maintained:
    """Sign anew what is due (see `expiry`) and whose keys are here; the others become warnings.

    `publishers` is by channel, of one store; roles in `apart_from` are left alone. Raises KeyMissingError without the
    timestamp's key if something is due, ConflictError, TrustError, RemoteError.
    """
    publisher = next(iter(publishers.values()))
    warnings: list[str] = []

    def propose(states: States) -> RoleChange | None:
        now = publisher.clock()
        seen = {role: state.verified for state in states.values() for role in state.verified.expires}
        due = [role for role, state in seen.items() if role not in apart_from and is_due(role, state, now)]
        live = next(iter(states.values()))
        obstacles = {role: _obstacle(publisher, role, live) for role in (*due, "snapshot", "timestamp")}
        if due and obstacles["timestamp"]:
            raise KeyMissingError(
                f"role timestamp: {obstacles['timestamp']}", hint="nothing can be signed anew without it"
            )
        able = [role for role in due if not obstacles[role]]
        if obstacles["snapshot"]:  # it pins all others but these two
            able = [role for role in able if role in {"root", "timestamp"}]
        warnings[:] = [
            f"{role} expires on {seen[role].expires[role]:%Y-%m-%d}, but "
            + (obstacles[role] or f"the snapshot role that pins it cannot be signed: {obstacles['snapshot']}")
            for role in due
            if role not in able
        ]
        return RoleChange(renewed=frozenset(able)) if able else None

    change = change_roles(publishers, propose)
    return Maintained(tuple(sorted(change.renewed)) if change else (), tuple(warnings))


def _obstacle(publisher: Publisher, role: str, state: LiveState) -> str:
    """Return why a role cannot be signed here, empty if it can."""
    threshold = state.threshold(role)
    if threshold > 1:
        return f"it takes {threshold} signatures: begin with `writ keys renew {role} -o FILE`"
    if publisher.key_ring.has(role):
        return ""
    why = f"no key at {publisher.key_ring.source(role)}"
    return f"{why}: whoever holds one signs what `writ keys renew {role} -o FILE` writes" if is_oncall(role) else why
