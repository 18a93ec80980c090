"""What tests share: a home of their own, S3 servers, and a real policy repository under git."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3_servers
from git_folder import GitFolder, make_repository
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


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


@pytest.fixture
def policy_repository(tmp_path: Path) -> Callable[..., GitFolder]:
    """Make policy repositories: one commit with ``writ.yaml`` and one policy."""

    def make(store: str, *, channels: str = "prod", name: str = "repository") -> GitFolder:
        return make_repository(tmp_path / name, store, channels=channels)

    return make
