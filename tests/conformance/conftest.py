"""A repository over HTTP, and the client under test with a directory of its own."""

import datetime
import json
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tuf_repository import TufRepository, served

from agent_sidecar.cli.main import main


@dataclass
class Client:
    """Runs the command; its methods return the exit code."""

    repository: TufRepository
    folder: Path

    def init(self, root: bytes | None = None) -> int:
        served = self.repository.served["/metadata/1.root.json"]
        assert isinstance(served, bytes)
        (self.folder / "first-root").write_bytes(served if root is None else root)
        return self.run("init", str(self.folder / "first-root"))

    def refresh(self) -> int:
        return self.run("--metadata-url", f"{self.repository.url}/metadata", "refresh")

    def download(self, name: str) -> int:
        options = {
            "--metadata-url": f"{self.repository.url}/metadata/",
            "--target-name": name,
            "--target-dir": str(self.folder / "targets"),
            "--target-base-url": f"{self.repository.url}/targets/",
        }
        return self.run(*(word for option in options.items() for word in option), "download")

    def run(self, *arguments: str) -> int:
        self.repository.asked.clear()
        return main(["tuf-client", "--metadata-dir", str(self.folder / "metadata"), *arguments])

    @property
    def trusted(self) -> dict[str, int]:
        """Return the versions of all roles whose files lie in the metadata directory."""
        files = (self.folder / "metadata").glob("*.json")
        return {file.stem: json.loads(file.read_bytes())["signed"]["version"] for file in files}

    @property
    def downloaded(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (self.folder / "targets").glob("*")}


@pytest.fixture
def client_of(tmp_path: Path) -> Iterator[Callable[[TufRepository], Client]]:
    """Serve a repository and return a client of it, which has not begun."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda repository: Client(stack.enter_context(served(repository)), tmp_path)


@pytest.fixture
def client(client_of: Callable[[TufRepository], Client]) -> Client:
    """Return a client that trusts the first root of a new repository and has not asked it yet."""
    client = client_of(TufRepository())
    assert client.init() == 0
    return client


@pytest.fixture
def repository(client: Client) -> TufRepository:
    return client.repository


@pytest.fixture
def let_it_be(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let it be some days later, for the client."""

    def later(days: int) -> None:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        clock = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda _: now), timezone=datetime.timezone)
        monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)

    return later
