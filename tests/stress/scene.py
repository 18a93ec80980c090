"""Where an operation runs: a policy repository, a store with a past, and a host that has seen it."""

import contextlib
import datetime
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from git_folder import GitFolder, make_repository

from builder.publishing import workspace as workspaces
from builder.publishing.initialise import initialise
from builder.publishing.state import ChannelReader
from builder.releasing import sync_ledger
from bundle_store.client import TrustedClient
from bundle_store.opening import open_store
from bundle_store.port import PreconditionFailedError, WritableStore
from policy_core.trust.layout import metadata_name
from stress.operations import CHANNELS, OPERATIONS
from stress.processes import Ended, Processes, Task


@dataclass(frozen=True)
class Past:
    """What is there before an operation: a folder with repository, keys and a host's cache, and the store's objects."""

    folder: Path
    objects: dict[str, bytes]


def make_past(operation: str, folder: Path) -> Past:
    """Let happen what happens before an operation."""
    store = folder / "store"
    repository = make_repository(folder / "repository", store.as_uri(), channels=", ".join(CHANNELS))

    def do(run: Callable[[workspaces.Workspace], object], *, days_ago: int = 0) -> None:
        with _days_ago(days_ago), _home(folder):
            workspace = workspaces.Workspace.open(repository.path)
            if not store.exists():
                initialise(workspace)
            run(workspaces.Workspace.open(repository.path))

    OPERATIONS[operation].past(repository, do)
    objects = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("[!.]*") if path.is_file()}
    for channel in CHANNELS:
        _host(folder, open_store(store.as_uri()), channel, "seasoned").refresh()
    return Past(folder, objects)


@dataclass(frozen=True)
class Scene:
    """A store as an operation finds it; `folder` holds the policy repository, the keys and the hosts' caches."""

    processes: Processes
    folder: Path
    store: WritableStore

    @classmethod
    def of(cls, past: Past, processes: Processes, folder: Path, url: str) -> "Scene":
        shutil.copytree(past.folder, folder, ignore=shutil.ignore_patterns("store"))
        store = open_store(url)
        for name, body in past.objects.items():
            store.put(name, body, if_etag=None)
        return cls(processes, folder, store)

    def someone_else(self) -> "Scene":
        """Return the scene as another publisher has it, who knows the same commits and has the same keys."""
        folder = self.folder.with_name(f"{self.folder.name}-else")
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def run(self, operation: str, **changes: Any) -> Ended:
        return self.processes.run(self.task(operation, **changes))[0]

    def task(self, operation: str, *, environment: Mapping[str, str] | None = None, **changes: Any) -> Task:
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        surroundings = aws | {"XDG_CONFIG_HOME": str(self.folder / "config")} | dict(environment or {})
        return Task(operation, str(self.folder / "repository"), self.store.url, surroundings, **changes)

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
        with _home(self.folder), mock.patch.object(workspaces, "open_reader", return_value=self.store):
            sync_ledger(workspaces.Workspace.open(self.folder / "repository"), "prod")


def _trusted_root(folder: Path) -> bytes:
    return (folder / "repository/trust/root.json").read_bytes()


def _host(folder: Path, store: WritableStore, channel: str, name: str) -> TrustedClient:
    cache = folder / "hosts" / f"{channel}-{name}"
    return TrustedClient(store, trusted_root=_trusted_root(folder), channel=channel, cache=cache)


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    with mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": str(folder / "config")}):
        yield


@contextlib.contextmanager
def _days_ago(days: int) -> Iterator[None]:
    """Let it be some days ago, for those who sign and those who verify."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(days=days)
    clock = SimpleNamespace(datetime=SimpleNamespace(now=lambda _: now), timezone=datetime.timezone)
    with (
        mock.patch("tuf.ngclient._internal.trusted_metadata_set.datetime", clock),
        mock.patch("builder.publishing.publisher.datetime", SimpleNamespace(now=lambda _: now)),
    ):
        yield
