"""What tests share: a home of their own, S3 servers, and a real policy repository under git."""

import contextlib
import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3_servers

WRIT_YAML = """\
version: v1
name: demo-policies
store: {store}
channels: [{channels}]
"""
POLICY = """\
version: v1
rules:
  - id: reads
    match: {{actions: ["service.read"]}}
    decision: allow
    reason: {reason}
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty home, so that it neither reads nor writes a developer's keys and settings."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(("AWS_", "WRIT_", "GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(scope="session")
def s3_endpoints() -> Iterator[Callable[[str], str]]:
    """Start the S3 servers that are asked for, each once per worker; give a name, get an endpoint."""
    with contextlib.ExitStack() as running:
        yield functools.cache(lambda name: running.enter_context(s3_servers.SERVERS[name]()))


@pytest.fixture
def aws(s3_endpoints: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Point boto3 at moto; the value is its endpoint."""
    endpoint = s3_endpoints("moto")
    s3_servers.use(endpoint, monkeypatch)
    return endpoint


@pytest.fixture
def bucket(aws: str) -> str:
    """Create a bucket of the test's own."""
    return s3_servers.make_bucket()


@pytest.fixture
def s3_url(bucket: str) -> str:
    """Name an empty store in S3."""
    return f"s3://{bucket}/policies"


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """Name an empty store in a directory."""
    return (tmp_path / "store").as_uri()


@pytest.fixture(params=["file", *s3_servers.SERVERS])
def store_url(
    request: pytest.FixtureRequest, s3_endpoints: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """Name an empty store, once of each writable kind and server."""
    if request.param == "file":
        return (tmp_path / "store").as_uri()
    s3_servers.use(s3_endpoints(request.param), monkeypatch)
    return f"s3://{s3_servers.make_bucket()}/policies"


@dataclass(frozen=True)
class GitFolder:
    """A git work tree; `git` runs a command in it and returns what it printed."""

    path: Path

    def git(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content, encoding="utf-8")

    def commit(self, files: Mapping[str, str], message: str = "Change policies") -> str:
        """Write the files, commit everything, and return the commit id."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def commit_policy(self, reason: str) -> str:
        """Commit a policy that differs from any other by the reason it gives."""
        return self.commit({"policies/a.yaml": POLICY.format(reason=reason)}, f"Policy: {reason}")

    def clone(self, path: Path, *options: str) -> "GitFolder":
        subprocess.run(["git", "clone", "--quiet", *options, self.path.as_uri(), path], check=True, capture_output=True)
        return GitFolder(path)._named()

    def _named(self) -> "GitFolder":
        self.git("config", "user.name", "Ada Example")
        self.git("config", "user.email", "ada@example.com")
        return self


@pytest.fixture
def policy_repository(tmp_path: Path) -> Callable[..., GitFolder]:
    """Make policy repositories: one commit with ``writ.yaml`` and one policy."""

    def make(store: str, *, channels: str = "prod", name: str = "repository") -> GitFolder:
        path = tmp_path / name
        path.mkdir()
        folder = GitFolder(path)
        folder.git("init", "--quiet", "--initial-branch=main")
        folder._named()
        folder.write({"writ.yaml": WRIT_YAML.format(store=store, channels=channels)})
        folder.commit_policy("first")
        return folder

    return make
