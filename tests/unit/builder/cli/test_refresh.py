"""``writ refresh`` where there is no policy repository."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builder.cli.main import main


class Refresher(NamedTuple):
    """A machine with the timestamp's key and the trust root; `publisher` runs commands in the policy `repository`."""

    folder: Path
    store: Path
    repository: Any
    publisher: Callable[..., Any]
    run: Callable[..., tuple[int, str, str]]

    def publish_another(self) -> None:
        self.repository.commit_policy("another")
        assert self.publisher("publish", "--channel", "prod")["committed"]


@pytest.fixture
def refresher(
    policy_repository: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Refresher:  # fmt: skip
    store, folder = tmp_path / "store", tmp_path / "refresher"
    repository = policy_repository(store.as_uri(), channels="staging, prod")
    keys = Path(os.environ["XDG_CONFIG_HOME"]) / "writ/keys"

    def publisher(*arguments: str) -> Any:
        assert main(["-C", str(repository.path), *arguments, "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    def run(*options: str) -> tuple[int, str, str]:
        with monkeypatch.context() as machine:
            machine.setenv("XDG_CONFIG_HOME", str(folder))
            code = main(["-C", str(folder), "refresh", "--store", store.as_uri(), "--root", "root.json", *options])
        return (code, *capsys.readouterr())

    assert main(["-C", str(repository.path), "keys", "init", "--dev"]) == 0
    for channel in ("staging", "prod"):
        main(["-C", str(repository.path), "publish", "--channel", channel])
    (folder / "writ/keys").mkdir(parents=True)
    shutil.copy(keys / "demo-policies/timestamp.pem", folder / "writ/keys")
    shutil.copy(repository.path / "trust/root.json", folder)
    capsys.readouterr()
    return Refresher(folder, store, repository, publisher, run)


def test_store_root_and_one_key_are_enough(refresher: Refresher) -> None:
    before = json.loads((refresher.store / "metadata/timestamp.json").read_bytes())["signed"]["version"]

    code, out, err = refresher.run()

    after = json.loads((refresher.store / "metadata/timestamp.json").read_bytes())["signed"]["version"]
    assert (code, err) == (0, "")
    assert out.startswith("timestamp signed, expires ")
    assert after == before + 1
    assert refresher.publisher("verify", "--channel", "prod")


def test_a_store_that_was_put_back_is_not_made_to_look_new(refresher: Refresher) -> None:
    refresher.run("--seen", "seen.json")
    saved = refresher.store.with_name("saved")
    shutil.copytree(refresher.store, saved)
    refresher.publish_another()
    refresher.run("--seen", "seen.json")
    shutil.rmtree(refresher.store)
    shutil.copytree(saved, refresher.store)
    put_back = (refresher.store / "metadata/timestamp.json").read_bytes()

    code, _, err = refresher.run("--seen", "seen.json")

    assert code == 5
    assert "prod is at release 1, but release 2 was seen here" in err
    assert (refresher.store / "metadata/timestamp.json").read_bytes() == put_back


def test_a_store_that_no_longer_has_a_channel_is_refused(refresher: Refresher) -> None:
    (refresher.folder / "seen.json").write_text('{"canary": 3}')

    code, _, err = refresher.run("--seen", "seen.json")

    assert code == 5
    assert "canary is at release 0, but release 3 was seen here" in err


@pytest.mark.parametrize("content", ["", "{", '{"prod": "2"}', "[]"])
def test_a_damaged_memory_is_no_empty_memory(refresher: Refresher, content: str) -> None:
    (refresher.folder / "seen.json").write_text(content)

    code, _, err = refresher.run("--seen", "seen.json")

    assert code == 2
    assert "is not what an earlier run wrote" in err


def test_what_was_seen_is_the_newest_release_of_each_channel(refresher: Refresher) -> None:
    refresher.publish_another()

    refresher.run("--seen", "seen.json")

    assert json.loads((refresher.folder / "seen.json").read_text()) == {"prod": 2, "staging": 1}


def test_another_root_is_refused(refresher: Refresher, policy_repository: Callable[..., Any]) -> None:
    other = json.loads((refresher.folder / "root.json").read_text())
    other["signatures"][0]["sig"] = "00" * 64
    (refresher.folder / "root.json").write_text(json.dumps(other))

    assert refresher.run()[0] == 5


def test_without_the_key_it_says_where_one_is_looked_for(refresher: Refresher) -> None:
    (refresher.folder / "writ/keys/timestamp.pem").unlink()

    code, _, err = refresher.run()

    assert code == 2
    assert "WRIT_SIGNER_TIMESTAMP" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--store", "file:///srv/store"], "--store and --root belong together"),
        (["--root", "root.json"], "--store and --root belong together"),
        (["--seen", "seen.json"], "--seen is for --store"),
        (["--store", "file:///srv/store", "--root", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
)
def test_half_a_command_line_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["-C", str(tmp_path), "refresh", *options]) == 2
    assert message in capsys.readouterr().err
