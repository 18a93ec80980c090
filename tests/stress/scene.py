"""Where an operation runs: a policy repository, a store with a past, and a host that has seen it."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from git_folder import GitFolder, make_repository

from builder.publishing import workspace as workspaces
from builder.publishing.state import ChannelReader
from builder.releasing import sync_ledger
from bundle_store.client import TrustedClient
from bundle_store.opening import open_store
from bundle_store.port import PreconditionFailedError, WritableStore
from policy_core.trust.layout import metadata_name
from stress.operations import CHANNELS, OPERATIONS
from stress.past import Past
from stress.processes import Ended, Processes, Task


@dataclass(frozen=True)
class Before:
    """What is there before an operation: a folder with repository, keys and hosts' caches, and the store's objects."""

    folder: Path
    objects: dict[str, bytes]


def prepare(live_through: Callable[[Past], None], folder: Path) -> Before:
    """Let happen what happens before an operation."""
    past = Past(folder)
    make_repository(past.repository.path, past.store.as_uri(), channels=", ".join(CHANNELS))
    live_through(past)
    store = open_store(past.store.as_uri())
    for channel in CHANNELS:
        _host(folder, store, channel, "seasoned").refresh()
    files = [path for path in past.store.rglob("[!.]*") if path.is_file()]
    return Before(folder, {str(path.relative_to(past.store)): path.read_bytes() for path in files})


@dataclass(frozen=True)
class Scene:
    """A store as an operation finds it; `folder` holds the policy repository, the keys and the hosts' caches."""

    processes: Processes
    folder: Path
    store: WritableStore

    @classmethod
    def of(cls, before: Before, processes: Processes, folder: Path, url: str) -> "Scene":
        shutil.copytree(before.folder, folder, ignore=shutil.ignore_patterns("store"))
        store = open_store(url)
        for name, body in before.objects.items():
            store.put(name, body, if_etag=None)
        return cls(processes, folder, store)

    def someone_else(self) -> "Scene":
        """Return the scene as another publisher has it, who knows the same commits and has the same keys."""
        folder = self.folder.with_name(f"{self.folder.name}-else")
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def run(self, operation: str, **changes: Any) -> Ended:
        return self.processes.run(self.task(operation, **changes))[0]

    def task(self, name: str, *, environment: Mapping[str, str] | None = None, **changes: Any) -> Task:
        operation = OPERATIONS[name]
        surroundings = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        surroundings |= {name: self._placed(value) for name, value in operation.environment.items()}
        surroundings |= {"XDG_CONFIG_HOME": str(self.folder / "config"), **(environment or {})}
        command = ("-C", str(self.folder / "repository"), *map(self._placed, operation.command))
        return Task(command, self.store.url, surroundings, **changes)

    def publish(self, channel: str) -> Ended:
        return self.processes.run(self.publishing(channel))[0]

    def publishing(self, channel: str) -> Task:
        task = self.task("publish")
        return replace(task, command=(*task.command[:-1], channel))

    def _placed(self, word: str) -> str:
        return word.replace("{folder}", str(self.folder))

    def commit_policy(self, reason: str) -> None:
        GitFolder(self.folder / "repository").commit_policy(reason)

    def litter(self, role: str, count: int) -> None:
        """Leave what publishers that died or lost leave: the next numbers of a role, taken."""
        number = 1
        while count:
            try:
                self.store.put(metadata_name(role, number), b"{}", if_etag=None)
            except PreconditionFailedError:
                pass
            else:
                count -= 1
            number += 1

    def fetch(self, other: "Scene") -> None:
        """Get to know the commits that another publisher made."""
        GitFolder(self.folder / "repository").git("fetch", "--quiet", str(other.folder / "repository"), "main")

    def releases(self, channel: str = "prod") -> int:
        """Return how many releases there are, agreed upon by a fresh host, a seasoned one, and the history."""
        seen = set()
        for name in ("fresh", "seasoned"):
            host = _host(self.folder, self.store, channel, name)
            release = host.refresh()[1].release
            if release is not None:
                host.download(release)
            seen.add(release.release if release else 0)
        shutil.rmtree(self.folder / "hosts" / f"{channel}-fresh")
        reader = ChannelReader(self.store, channel, _trusted_root(self.folder))
        entries = list(reader.history(reader.read()))
        assert seen == {len(entries) - 1}
        return len(entries) - 1

    @property
    def timestamp(self) -> int:
        """Return the version of the timestamp that is live."""
        return ChannelReader(self.store, "prod", _trusted_root(self.folder)).read().timestamp.version

    def check_ledger(self) -> None:
        """Derive the ledger from the signed history; raises LedgerError if what is there already differs."""
        home = mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": str(self.folder / "config")})
        with home, mock.patch.object(workspaces, "open_store", return_value=self.store):
            sync_ledger(workspaces.Workspace.open(self.folder / "repository"), "prod")


def _trusted_root(folder: Path) -> bytes:
    return (folder / "repository/trust/root.json").read_bytes()


def _host(folder: Path, store: WritableStore, channel: str, name: str) -> TrustedClient:
    cache = folder / "hosts" / f"{channel}-{name}"
    return TrustedClient(store, trusted_root=_trusted_root(folder), channel=channel, cache=cache)
