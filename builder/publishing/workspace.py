"""What a command about publishing starts from: the policy repository, its settings and its trust root, all of HEAD.

HEAD, not the revision to be published: an old commit must not send a new bundle to an old store, and a rollback must
work even when the newest policies do not compile, or cannot be read at all.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.language.nodes import Report
from builder.language.project import FILE, Project, read_project
from builder.publishing.keys import KeyRing, key_ring
from builder.publishing.publisher import Publisher
from builder.publishing.state import ChannelReader
from builder.publishing.trust_root import trusted_root
from builder.source import PolicyRepository
from bundle_store.opening import open_reader, open_records, open_store
from bundle_store.port import RecordsStore, Store
from bundle_store.remembering import RememberingStore
from policy_core.errors import InvalidPolicyError, UsageError
from policy_core.trust.layout import ChannelNameError, check_channel


@dataclass(frozen=True, slots=True)
class Workspace:
    """A policy repository with the settings committed in HEAD."""

    repository: PolicyRepository
    project: Project
    environment: Mapping[str, str]
    _stores: dict[str, RememberingStore] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, directory: Path) -> "Workspace":
        """Open the repository around `directory`; raises UsageError, InvalidPolicyError for ``writ.yaml``."""
        repository = PolicyRepository.open(directory)
        report = Report(FILE)
        project = read_project(repository.file("HEAD", FILE), report)
        if project is None:
            raise InvalidPolicyError(report.problems)
        return cls(repository, project, dict(os.environ))

    @property
    def key_ring(self) -> KeyRing:
        """Return the keys at hand for this policy repository."""
        git = self.repository.git
        return key_ring(self.project.name, self.environment, Path(git.workdir or git.path))

    def channel(self, name: str | None) -> str:
        """Return the channel a command is about: `name`, or the first in ``writ.yaml``; raises UsageError."""
        try:
            return check_channel(name if name is not None else self.project.channels[0])
        except ChannelNameError as error:
            raise UsageError(error.message, hint=error.hint) from error

    def channel_before(self, name: str) -> str:
        """Return the channel that comes before another on the way of promotion; raises UsageError if there is none."""
        channels = self.project.channels
        place = channels.index(name) if name in channels else 0
        if place == 0:
            raise UsageError(f"channel {name}: none comes before it in {FILE}", hint="say where from: --from NAME")
        return channels[place - 1]

    def reader(self, channel: str) -> ChannelReader:
        """Return a reader of one channel; raises UsageError without a trust root, StoreUrlError."""
        url = self.project.store
        store: Store = open_reader(url) if url.startswith("https://") else self._writable_store()
        return ChannelReader(store, channel, trusted_root(self.repository))

    def publisher(self, channel: str) -> Publisher:
        """Return a publisher to one channel; raises UsageError without a trust root, StoreUrlError."""
        return Publisher(self._writable_store(), channel, trusted_root(self.repository), self.key_ring)

    def records(self, url: str | None = None) -> RecordsStore:
        """Return the store that hosts report to: `url`, or that of ``writ.yaml``; raises UsageError, StoreUrlError."""
        url = url or self.project.reports
        if not url:
            raise UsageError(f"reports: {FILE} does not say where hosts report", hint="add `reports: URL` to it")
        return open_records(url)

    def _writable_store(self) -> RememberingStore:
        """Return the store that all readers and publishers of one command share."""
        url = self.project.store
        if url not in self._stores:
            self._stores[url] = RememberingStore(open_store(url))
        return self._stores[url]
