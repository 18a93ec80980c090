"""All channels of a store at once, as they are at one moment: what concerns them together starts from this."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from builder.publishing.state import ChannelReader, LiveState, UnknownChannelError
from policy_core.errors import ConflictError
from policy_core.trust.history import HistoryEntry
from policy_core.trust.layout import is_channel

MAX_READS = 5


def read_channels(reader_of: Callable[[str], ChannelReader], channels: Sequence[str]) -> dict[str, LiveState]:
    """Return the states of those `channels` that the store has, all under one timestamp; at least one.

    Raises UnknownChannelError if it has none of them, ConflictError if it does not hold still, and as
    `ChannelReader.read`.
    """
    readers = {channel: reader_of(channel) for channel in channels}
    for _ in range(MAX_READS):
        states: dict[str, LiveState] = {}
        unknown: UnknownChannelError | None = None
        for channel, reader in readers.items():
            try:
                states[channel] = reader.read()
            except UnknownChannelError as error:
                unknown = error
        if unknown is not None and not states:
            raise unknown
        if len({state.chain.timestamp for state in states.values()}) == 1:
            return states
    raise ConflictError("the store changes while it is read", hint="run the command again")


@dataclass(frozen=True, slots=True)
class Histories:
    """Histories of channels of one store, newest first, each read once."""

    reader_of: Callable[[str], ChannelReader]
    known: dict[str, Sequence[HistoryEntry]] = field(default_factory=dict)

    def of(self, channel: str) -> Sequence[HistoryEntry]:
        """Return the history of a channel; raises as `ChannelReader.read` and its `history`."""
        if channel not in self.known:
            reader = self.reader_of(channel)
            self.known[channel] = list(reader.history(reader.read()))
        return self.known[channel]


def delegated_channels(state: LiveState) -> list[str]:
    """Return the channels that the store's targets role delegates, sorted."""
    delegations = state.targets.delegations
    return sorted(filter(is_channel, delegations.roles)) if delegations and delegations.roles else []
