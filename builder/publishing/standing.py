"""How a channel stands now, beside its release: who signed it, what is in force for a while, what waits for people."""

from dataclasses import dataclass
from datetime import datetime

from builder.publishing.holders import owner_of, short_id
from builder.publishing.pending import PendingError, StaleError, Waiting, find_pending
from builder.publishing.state import ChannelReader, LiveState
from bundle_store.port import StoreDeniedError
from policy_core.emergency import in_force
from policy_core.trust import layout
from policy_core.trust.chain import signing_keys
from policy_core.trust.oncall import Emergency


@dataclass(frozen=True, slots=True)
class Signatures:
    """Whose signatures the live file of a role carries (owners, or short ids of keys without one), and how many of how
    many keys it takes."""

    role: str
    by: tuple[str, ...]
    threshold: int
    keys: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a channel stands; `listed` is the release that its own role lists, another than the live one where people on
    call have acted since.

    `waiting` is what passed every check, and `warning` says why there is something that did not.
    """

    on_call: bool
    listed: int
    signatures: tuple[Signatures, ...]
    emergency: tuple[Emergency, ...]
    waiting: Waiting | None
    warning: str


def standing_of(reader: ChannelReader, state: LiveState, now: datetime) -> Standing:
    """Return how the channel of a verified state stands at `now`; raises RemoteError."""
    said, channel = state.verified.channel, reader.channel
    roles = {channel: state.chain.channel}
    if said.oncall:
        roles[layout.oncall_role(channel)] = state.chain.oncall
    waiting, warning = None, ""
    if state.threshold(channel) > 1:  # else nothing waits
        try:
            waiting = find_pending(reader, state)
        except (PendingError, StaleError) as error:
            warning = error.message
        except StoreDeniedError:
            warning = "what waits for signatures cannot be read with these credentials"
    return Standing(
        on_call=said.release != said.listed,
        listed=said.listed.release if said.listed else 0,
        signatures=tuple(_signatures(state, role, data) for role, data in roles.items()),
        emergency=in_force(said.emergency, now.timestamp()),
        waiting=waiting,
        warning=warning,
    )


def _signatures(state: LiveState, role: str, data: bytes) -> Signatures:
    keys = signing_keys(data, state.targets, role)
    names = sorted(owner_of(key) or short_id(key) for key in keys)
    return Signatures(role, tuple(names), state.threshold(role), len(state.keys(role)))
