"""The snapshots a host has: which is which, and which of them it could enforce at once."""

import msgspec

from agent_sidecar.activation import Activation
from agent_sidecar.enforcement import Enforcement


class HeldSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot on disk; `role` is ``current`` or ``previous``.

    A loaded one has verified, signatures and digests, and passed its own tests; `problem` says why another has not.
    `pinned` says that a host rollback holds it in force. `rules` is None unless it is loaded.
    """

    role: str
    bundle: str
    revision: str
    release: int
    enforced: bool
    pinned: bool
    loaded: bool
    rules: int | None
    problem: str


def snapshots_of(enforcement: Enforcement) -> list[HeldSnapshot]:
    """Return what this host holds, the current snapshot first."""
    state, active = enforcement.state, enforcement.active
    found = []
    for role, ref in (("current", state.current), ("previous", state.previous)):
        if ref is None:
            continue
        loaded = enforcement.as_enforced(ref)
        found.append(
            HeldSnapshot(
                role=role,
                bundle=f"sha256:{ref.sha256}",
                revision=ref.revision,
                release=ref.release,
                enforced=isinstance(active, Activation) and active.ref == ref,
                pinned=state.pin is not None and role == "previous",
                loaded=loaded is not None,
                rules=len(loaded.matcher.rules) if loaded else None,
                problem=enforcement.unusable.get(ref, ""),
            )
        )
    return found
