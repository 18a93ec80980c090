"""Where and as whom to publish: one channel of one store, its trust root, and the keys at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from tuf.api.metadata import Snapshot, Timestamp

from builder.publishing.keys import AnyRole, KeyRing
from builder.publishing.state import ChannelReader, LiveState
from bundle_store.port import WritableStore
from policy_core.errors import TrustError
from policy_core.trust import layout
from policy_core.trust.recovery import accepts

MAX_CLOCK_DIFFERENCE = timedelta(days=1)

Clock = Callable[[], datetime]


class SignedInFutureError(TrustError):
    """The live state says that it was signed later than now; signing on top of it would make that time history."""

    default_hint = "check the clock of this machine; if it is right, the key of that role may be in foreign hands"


def system_clock() -> datetime:
    """Return the present time, aware, in whole seconds as metadata spells it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)  # without slots: its reader is made once
class Publisher:
    """Where and as whom to publish: one channel of one store, its trust root, and the keys at hand."""

    store: WritableStore
    channel: str
    trusted_root: bytes
    key_ring: KeyRing
    clock: Clock = system_clock

    @cached_property
    def reader(self) -> ChannelReader:
        """Return the reading half."""
        return ChannelReader(self.store, self.channel, self.trusted_root)

    def sign(self, role: str, signed: AnyRole, state: LiveState) -> bytes:
        """Return the signed metadata file of a role; raises as `KeyRing.sign`."""
        return self.key_ring.sign(role, signed, state.keys(role))

    def seal(self, payload: bytes, payload_type: str, state: LiveState) -> bytes:
        """Return a DSSE envelope signed for the channel; raises as `KeyRing.sign`.

        Where people sign for the channel, the publisher's own key, that of the snapshot role, says what it built.
        """
        role = self.channel if state.threshold(self.channel) == 1 else Snapshot.type
        return self.key_ring.seal(role, payload, payload_type, state.keys(role))

    def signing_time(self, state: LiveState) -> datetime:
        """Return the time to sign with: now, but never before a time signed already (a clock may be behind).

        What keys have signed that `state` does not accept any more is no such time: it may be a thief's. Raises
        SignedInFutureError if a time is more than `MAX_CLOCK_DIFFERENCE` ahead: times in the ledger never decrease, so
        whoever has stolen a refresher's key could spoil them for good.
        """
        now = self.clock()
        last = layout.parse_time(state.snapshot.unrecognized_fields.get(layout.SIGNED_AT))
        times = {}
        if accepts(state.root, Timestamp.type, state.chain.timestamp, Timestamp):
            times[Timestamp.type] = state.verified.signed_at
        if accepts(state.root, Snapshot.type, state.chain.snapshot, Snapshot):
            times[Snapshot.type] = last
        for role, signed_at in times.items():
            if signed_at > now + MAX_CLOCK_DIFFERENCE:
                raise SignedInFutureError(
                    f"{self.store.url}: the {role} role was signed at {layout.format_time(signed_at)}, "
                    f"but here it is {layout.format_time(now)}"
                )
        return max(now, *times.values()) if times else now
