"""From a command about keys to the store: all its channels, held against their ledgers before anybody signs."""

from dataclasses import dataclass

from builder.ledger.branch import check_store_is_current
from builder.publishing import carrying_out, ceremony
from builder.publishing.before import Before, Publishers, read_before
from builder.publishing.ceremony import Ceremony
from builder.publishing.key_changes import Wish
from builder.publishing.keys import KeyRing
from builder.publishing.pending import Pending
from builder.publishing.workspace import Workspace
from bundle_store.probe import probe_conditional_writes


@dataclass(frozen=True, slots=True)
class Rekeying:
    """One store whose keys change: a publisher for each channel, and what is live."""

    publishers: Publishers
    before: Before

    @classmethod
    def open(cls, workspace: Workspace, document: Pending | None = None) -> "Rekeying":
        """Read the store, for a ceremony file if there is one.

        Raises LedgerError if a ledger at hand knows more releases than the store, TrustError, RemoteError.
        """
        publishers = {channel: workspace.publisher(channel) for channel in workspace.project.channels}
        before = ceremony.before_of(publishers, document) if document else read_before(publishers)
        for channel, state in before.states.items():
            live = state.verified.release
            check_store_is_current(workspace.repository.git, channel, live.release if live else 0)
        return cls(publishers, before)

    @property
    def key_ring(self) -> KeyRing:
        """Return the keys at hand."""
        return next(iter(self.publishers.values())).key_ring

    def propose(self, wish: Wish) -> Ceremony | None:
        """Return the ceremony of what is wished, None if there is nothing to change; raises as `ceremony.propose`."""
        return ceremony.propose(self.publishers, self.before, wish)

    def check(self, document: Pending, where: str) -> Ceremony:
        """Return the ceremony in a file; raises PendingError, StaleError."""
        return ceremony.check(document, self.before, next(iter(self.publishers.values())).clock(), where)

    def change(self, wish: Wish) -> Ceremony | None:
        """Sign what is wished with the keys here, and make it live; raises as `carrying_out.change_keys`."""
        self._probe()
        return carrying_out.change_keys(self.publishers, wish)

    def apply(self, document: Pending, where: str) -> Ceremony:
        """Make what a file holds live; raises as `carrying_out.apply`."""
        self._probe()
        return carrying_out.apply(self.publishers, document, where)

    def _probe(self) -> None:
        probe_conditional_writes(next(iter(self.publishers.values())).store)
