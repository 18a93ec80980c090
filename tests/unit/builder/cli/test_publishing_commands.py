"""The commands about publishing, run as a person would, from keys to audit."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from builder.cli.main import main

GitFolder = Any  # of tests/conftest.py


class Person:
    """Runs ``writ`` in one work tree and keeps what it printed."""

    def __init__(self, folder: GitFolder, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self.folder = folder
        self.out = self.err = ""
        self._capture = capfdbinary

    def writ(self, *arguments: str, code: int = 0) -> str:
        self._capture.readouterr()
        got = main(["-C", str(self.folder.path), *arguments])
        printed = self._capture.readouterr()
        self.out, self.err = printed.out.decode(), printed.err.decode()
        assert got == code, f"exit code {got}: {self.err}"
        return self.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.writ(*arguments, "--format", "json"))


@pytest.fixture
def person_at(
    policy_repository: Callable[..., GitFolder], capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Person]:
    def make(url: str, **options: str) -> Person:
        return Person(policy_repository(url, **options), capfdbinary)

    return make


@pytest.fixture
def person(person_at: Callable[..., Person], file_url: str) -> Person:
    person = person_at(file_url)
    person.writ("keys", "init", "--dev")
    return person


def test_the_whole_way_from_keys_to_audit(person_at: Callable[..., Person], store_url: str) -> None:
    person = person_at(store_url)
    person.writ("keys", "init", "--dev")
    assert "prod: release 1 (publish) is live" in person.writ("publish")
    person.folder.commit_policy("second")
    person.writ("publish")
    person.writ("rollback", "--channel", "prod", "--reason", "denies too much")

    found = person.json("live", "--channel", "prod", "--verify")

    assert found["ledger"]["releases"] == 3
    (live,) = found["intervals"]
    assert live["until"] is None
    assert live["release"]["action"] == "rollback"
    assert live["release"]["actor"] == "Ada Example <ada@example.com>"
    assert "verified, 3 releases" in person.writ("verify")
    assert person.err == ""


def test_publishing_twice_is_nothing_to_do(person: Person) -> None:
    person.writ("publish")

    assert "prod: verified, 1 release, ledger at" in person.writ("verify")
    assert person.json("publish")["committed"] is False


def test_an_invalid_policy_is_not_published(person: Person) -> None:
    person.folder.commit({"policies/a.yaml": "version: v1\nrulez: []\n"})

    person.writ("publish", code=3)

    assert "policies/a.yaml" in person.err


def test_a_failing_policy_test_stops_the_publish(person: Person) -> None:
    person.folder.commit(
        {
            "tests/a.yaml": "version: v1\ncases:\n  - name: reads are denied\n    request:\n"
            "      subject: {type: user, id: ada}\n      action: {name: service.read}\n"
            "      resource: {type: service, id: web}\n    expect: {decision: deny}\n"
        }
    )

    person.writ("publish", code=4)

    assert "reads are denied" in person.err
    assert person.json("live", "--channel", "prod")["intervals"][0]["release"] is None


@pytest.mark.parametrize(
    "command", [("publish",), ("rollback", "--channel", "prod", "--reason", "too strict"), ("refresh",)]
)
def test_a_store_that_was_put_back_is_not_signed_over(person: Person, tmp_path: Path, command: tuple[str, ...]) -> None:
    """A refresh would make the old state look new for hosts that have not seen the newer one."""
    for reason in ("second", "third"):
        person.folder.commit_policy(reason)
        person.writ("publish")
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    person.folder.commit_policy("fourth")
    person.writ("publish")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "backup").rename(tmp_path / "store")
    before = (tmp_path / "store/metadata/timestamp.json").read_bytes()
    person.folder.commit_policy("fifth")

    person.writ(*command, code=5)

    assert "live/prod: has release 3, the store only 2" in person.err
    assert (tmp_path / "store/metadata/timestamp.json").read_bytes() == before


def test_nothing_is_promoted_from_a_store_that_was_put_back(
    person_at: Callable[..., Person], file_url: str, tmp_path: Path
) -> None:
    """What was live in the channel it comes from then may have been rolled back since."""
    person = person_at(file_url, channels="staging, prod")
    person.writ("keys", "init", "--dev")
    person.writ("publish")
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    person.folder.commit_policy("second")
    person.writ("publish")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "backup").rename(tmp_path / "store")

    person.writ("promote", "--to", "prod", code=5)

    assert "live/staging: has release 2, the store only 1" in person.err


@pytest.mark.parametrize("revision", ["live/prod", "live/prod~1"])
def test_a_ledger_commit_is_no_way_around_a_rollback_and_the_tests(person: Person, revision: str) -> None:
    person.writ("publish")
    person.folder.commit_policy("second")
    person.writ("publish")
    person.writ("rollback", "--channel", "prod", "--reason", "too strict")

    person.writ("publish", revision, code=2)

    assert "belongs to the ledger of a channel" in person.err
    assert person.json("live")["intervals"][0]["release"]["action"] == "rollback"


def test_uncommitted_changes_are_not_published(person: Person) -> None:
    (person.folder.path / "policies" / "a.yaml").write_text("not even yaml: [")

    assert "release 1" in person.writ("publish")
    assert person.err == "note: uncommitted changes are not in the bundle\n"


def test_a_rollback_works_when_the_newest_policies_do_not_compile(person: Person) -> None:
    person.writ("publish")
    person.folder.commit_policy("second")
    person.writ("publish")
    person.folder.commit({"policies/a.yaml": "version: v1\nrulez: []\n"})

    assert "release 3 (rollback)" in person.writ("rollback", "--channel", "prod", "--reason", "too strict")


def test_a_rollback_works_when_the_newest_policies_cannot_be_read(person: Person) -> None:
    person.writ("publish")
    person.folder.commit_policy("second")
    person.writ("publish")
    (person.folder.path / "policies/link.yaml").symlink_to("a.yaml")
    person.folder.git("add", ".")
    person.folder.git("commit", "-qm", "a link")

    assert "release 3 (rollback)" in person.writ("rollback", "--channel", "prod", "--reason", "too strict")


def test_publishing_what_was_rolled_back_is_a_conflict(person: Person) -> None:
    person.writ("publish")
    person.folder.commit_policy("second")
    person.writ("publish")
    person.writ("rollback", "--channel", "prod", "--reason", "too strict")

    person.writ("publish", code=7)
    person.writ("publish", "HEAD~1", code=7)

    assert "error: " in person.err
    assert "hint: " in person.err


@pytest.mark.parametrize(
    "reason", ["", "  ", "two\nlines", "x\nWrit-Release: 1", "bell\a", "naïve", "x" * 501, "\x1b[31m"]
)
def test_a_reason_that_could_forge_anything_is_refused(person: Person, reason: str) -> None:
    person.writ("publish")

    person.writ("rollback", "--channel", "prod", "--to", "1", "--reason", reason, code=2)

    assert "reason: " in person.err


def test_an_actor_may_be_given_and_is_checked(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRIT_ACTOR", "deploy-bot (job 12)")
    assert person.json("publish")["release"]["actor"] == "deploy-bot (job 12)"

    monkeypatch.setenv("WRIT_ACTOR", "a\nWrit-Reason: b")
    person.writ("publish", code=2)


def test_accents_of_a_git_name_are_spelled_in_ascii(person: Person) -> None:
    person.folder.git("config", "user.name", "Zoë Müller-Łuk")

    assert person.json("publish")["release"]["actor"] == "Zoe Muller-?uk <ada@example.com>"


class TestAsking:
    @pytest.fixture
    def person(self, person: Person) -> Person:
        person.writ("publish")
        person.folder.commit_policy("second")
        person.writ("publish")
        return person

    def test_a_day_lists_every_interval(self, person: Person) -> None:
        day = person.json("live", "--channel", "prod")["intervals"][0]["from"][:10]

        found = person.json("live", "--channel", "prod", "--at", day)["intervals"]

        releases = [interval["release"]["release"] for interval in found if interval["release"]]
        assert releases in ([1, 2], [2])  # the second alone if midnight fell between them

    def test_a_moment_gives_one_interval(self, person: Person) -> None:
        (live,) = person.json("live", "--channel", "prod")["intervals"]

        (found,) = person.json("live", "--channel", "prod", "--at", live["from"])["intervals"]

        assert found == live

    def test_before_the_channel_there_is_nothing(self, person: Person) -> None:
        assert person.json("live", "--channel", "prod", "--at", "2020-01-01T00:00:00Z")["intervals"] == []

    @pytest.mark.parametrize("when", ["yesterday", "2026-03-01T10:00:00", "2026-13-01", "2999-01-01"])
    def test_a_time_that_means_nothing_is_refused(self, person: Person, when: str) -> None:
        person.writ("live", "--channel", "prod", "--at", when, code=2)

    def test_a_file_is_printed_as_it_was(self, person: Person) -> None:
        person.folder.commit_policy("third")

        printed = person.writ("live", "--channel", "prod", "--path", "policies/a.yaml")

        assert printed == person.folder.git("show", "HEAD~1:policies/a.yaml") + "\n"

    @pytest.mark.parametrize(
        "path", ["policies/none.yaml", "policies", "README.md", "../etc/passwd", "trust/root.json"]
    )
    def test_a_path_that_is_no_policy_file_is_refused(self, person: Person, path: str) -> None:
        person.writ("live", "--channel", "prod", "--path", path, code=2)

    def test_without_a_channel_it_is_the_first(self, person: Person) -> None:
        assert person.json("live") == person.json("live", "--channel", "prod")

    @pytest.mark.parametrize("channel", ["", "root", "../x", "PROD", "a\nb", "pr\N{CYRILLIC SMALL LETTER O}d", "--x"])
    @pytest.mark.parametrize("command", [("live",), ("verify",), ("publish",), ("ledger", "sync")])
    def test_a_name_that_is_no_channel_is_refused(self, person: Person, command: Any, channel: str) -> None:
        person.writ(*command, f"--channel={channel}", code=2)

        assert "\nhint: " in person.err

    def test_an_unknown_channel_names_those_there_are(self, person: Person) -> None:
        person.writ("live", "--channel", "nope", code=2)

        assert "channels there: prod" in person.err


class TestOrigin:
    @pytest.fixture
    def origin(self, person: Person, tmp_path: Path) -> Path:
        path = tmp_path / "origin.git"
        subprocess.run(["git", "init", "--quiet", "--bare", path], check=True)
        person.folder.git("remote", "add", "origin", str(path))
        person.folder.git("push", "--quiet", "origin", "main")
        return path

    def tip(self, folder: GitFolder) -> str:
        tip: str = folder.git("rev-parse", "live/prod")
        return tip

    def pushed(self, origin: Path) -> str:
        command = ["git", "-C", origin, "rev-parse", "live/prod"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def test_the_ledger_is_pushed(self, person: Person, origin: Path) -> None:
        person.writ("publish")

        assert self.pushed(origin) == self.tip(person.folder)

    def test_a_fresh_clone_publishes_on_top(self, person: Person, origin: Path, tmp_path: Path) -> None:
        person.writ("publish")
        subprocess.run(["git", "clone", "--quiet", origin, tmp_path / "clone", "--branch", "main"], check=True)
        clone = Person(type(person.folder)(tmp_path / "clone")._named(), person._capture)
        clone.folder.commit_policy("second")

        clone.writ("publish")

        assert self.pushed(origin) == self.tip(clone.folder)
        person.writ("ledger", "sync")
        assert self.tip(person.folder) == self.tip(clone.folder)

    def test_a_shallow_clone_is_refused(self, person: Person, origin: Path, tmp_path: Path) -> None:
        person.folder.commit_policy("second")
        person.folder.git("push", "--quiet", "origin", "main")
        shallow = tmp_path / "shallow"
        subprocess.run(["git", "clone", "--quiet", "--depth=1", "-b", "main", origin.as_uri(), shallow], check=True)

        Person(type(person.folder)(shallow), person._capture).writ("publish", code=2)

    def test_an_origin_that_is_away_stops_a_publish(self, person: Person, origin: Path) -> None:
        origin.rename(origin.with_name("away.git"))

        person.writ("publish", code=6)

        assert "git fetch origin: " in person.err
        assert person.json("live", "--channel", "prod")["intervals"][0]["release"] is None

    def test_an_origin_that_is_away_does_not_stop_a_rollback(self, person: Person, origin: Path) -> None:
        person.writ("publish")
        person.folder.commit_policy("second")
        person.writ("publish")
        away = origin.rename(origin.with_name("away.git"))

        person.writ("rollback", "--channel", "prod", "--reason", "too strict", code=6)

        assert "release 3 of prod is live, its ledger is behind: git push origin" in person.err
        assert "writ ledger sync --channel prod" in person.err
        away.rename(origin)
        person.writ("ledger", "sync")
        assert self.pushed(origin) == self.tip(person.folder)

    def test_a_rejected_push_is_no_lost_release(self, person: Person, origin: Path) -> None:
        hook = origin / "hooks" / "update"
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)

        person.writ("publish", code=6)
        hook.unlink()
        person.writ("publish")

        assert person.json("live", "--channel", "prod", "--verify")["ledger"]["releases"] == 1
        assert self.pushed(origin) == self.tip(person.folder)

    def test_a_forged_ledger_at_origin_is_not_overwritten(self, person: Person, origin: Path) -> None:
        person.folder.git("push", "--quiet", "origin", "main:refs/heads/live/prod")

        person.writ("publish", code=5)

        assert self.pushed(origin) == person.folder.git("rev-parse", "main")


class TestKeys:
    def test_are_private_and_outside_the_repository(self, person: Person) -> None:
        directory = Path(person.json("keys", "init", "--dev")["keys"])

        assert {path.name for path in directory.iterdir()} == {
            "root.pem", "targets.pem", "snapshot.pem", "timestamp.pem", "prod.pem",
        }  # fmt: skip
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
        assert directory.stat().st_mode & 0o777 == 0o700
        assert not directory.is_relative_to(person.folder.path)

    def test_init_says_which_kind(self, person: Person) -> None:
        person.writ("keys", "init", code=2)

    def test_a_second_init_changes_nothing(self, person: Person) -> None:
        before = person.folder.git("rev-parse", "HEAD")

        assert "nothing to do" in person.writ("keys", "init", "--dev")
        assert person.folder.git("rev-parse", "HEAD") == before

    def test_a_store_that_was_lost_is_not_begun_anew(self, person: Person, file_url: str) -> None:
        person.writ("publish")
        lost = Path(file_url.removeprefix("file://"))
        lost.rename(lost.with_name("lost"))

        person.writ("keys", "init", "--dev", code=5)

        assert "live/prod: has release 1, the store only 0" in person.err
        assert not (lost / "metadata").exists()

    def test_existing_keys_are_not_overwritten(self, person: Person) -> None:
        person.folder.git("reset", "--quiet", "--hard", "HEAD~1")
        person.folder.commit({"writ.yaml": (person.folder.path / "writ.yaml").read_text().replace("/store", "/store2")})

        person.writ("keys", "init", "--dev", code=7)

        assert "keys exist already" in person.err

    def test_a_store_of_another_root_is_refused(self, person_at: Any, person: Person, file_url: str) -> None:
        other = person_at(file_url, name="other")

        other.writ("keys", "init", "--dev", code=7)

        assert "another trust root" in other.err

    def test_the_trust_root_is_committed_alone_and_without_an_identity(
        self, person_at: Any, file_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person = person_at(file_url)
        person.folder.git("config", "--unset", "user.name")
        person.folder.git("config", "--unset", "user.email")
        person.folder.write({"staged.txt": "staged", "policies/a.yaml": "changed", "untracked.txt": "x"})
        person.folder.git("add", "staged.txt")

        person.writ("keys", "init", "--dev")

        assert person.folder.git("show", "--name-only", "--format=", "HEAD") == "trust/root.json"
        assert person.folder.git("status", "--porcelain").splitlines() == [
            "M policies/a.yaml", "A  staged.txt", "?? untracked.txt",
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", ["link", "file"])
    def test_a_trust_folder_that_is_none_is_left_alone(
        self, person_at: Any, file_url: str, tmp_path: Path, kind: str
    ) -> None:
        person = person_at(file_url)
        folder = person.folder.path / "trust"
        if kind == "link":
            (tmp_path / "elsewhere").mkdir()
            folder.symlink_to(tmp_path / "elsewhere")
        else:
            folder.write_text("x")
        head = person.folder.git("rev-parse", "HEAD")

        person.writ("keys", "init", "--dev", code=7)

        assert "trust: is no folder" in person.err
        assert person.folder.git("rev-parse", "HEAD") == head
        assert not (tmp_path / "elsewhere/root.json").exists()

    def test_a_missing_key_names_role_path_and_remedy(self, person: Person) -> None:
        directory = Path(person.json("keys", "init", "--dev")["keys"])
        (directory / "prod.pem").unlink()

        person.writ("publish", code=2)

        assert f"role prod: no key at {directory / 'prod.pem'}" in person.err
        assert "WRIT_SIGNER_PROD" in person.err

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    def test_a_key_others_can_read_is_refused(self, person: Person, mode: int) -> None:
        directory = Path(person.json("keys", "init", "--dev")["keys"])
        (directory / "prod.pem").chmod(mode)

        person.writ("publish", code=2)

        assert "can be read by others" in person.err

    def test_a_key_file_that_never_answers_is_refused(self, person: Person) -> None:
        key = Path(person.json("keys", "init", "--dev")["keys"]) / "prod.pem"
        key.unlink()
        os.mkfifo(key, mode=0o600)

        person.writ("publish", code=2)

        assert "is no regular file" in person.err

    @pytest.mark.parametrize("content", ["encrypted", "another", "empty"])
    def test_a_key_that_cannot_sign_is_refused(self, person: Person, content: str) -> None:
        key = Path(person.json("keys", "init", "--dev")["keys"]) / "prod.pem"
        encryption = BestAvailableEncryption(b"x") if content == "encrypted" else NoEncryption()
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        key.write_bytes(b"" if content == "empty" else pem)

        person.writ("publish", code=2)

        assert "error: role prod: " in person.err
        assert "hint: " in person.err

    def test_a_signer_uri_takes_the_place_of_a_key_file(
        self, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = Path(person.json("keys", "init", "--dev")["keys"])
        (directory / "prod.pem").rename(tmp_path / "elsewhere.pem")
        monkeypatch.setenv("WRIT_SIGNER_PROD", f"file2:{tmp_path / 'elsewhere.pem'}")

        person.writ("publish")

    @pytest.mark.parametrize(
        ("uri", "why"),
        [
            ("nonsense", "WRIT_SIGNER_PROD: is no signer URI"),
            ("file2:/does/not/exist", "no key at /does/not/exist"),
            ("file2:{snapshot}", "WRIT_SIGNER_PROD gives no key that may sign for it"),
        ],
    )
    def test_a_signer_that_is_not_the_roles_is_refused(
        self, person: Person, uri: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = Path(person.json("keys", "init", "--dev")["keys"])
        monkeypatch.setenv("WRIT_SIGNER_PROD", uri.format(snapshot=directory / "snapshot.pem"))

        person.writ("publish", code=2)

        assert f"error: role prod: {why}" in person.err


def test_nothing_works_before_keys_and_says_so(person_at: Callable[..., Person], file_url: str) -> None:
    person = person_at(file_url)

    for arguments in (("publish",), ("verify",), ("live", "--channel", "prod"), ("refresh",), ("ledger", "sync")):
        person.writ(*arguments, code=2)
        assert "writ keys init --dev" in person.err


def test_a_refresh_moves_the_expiry_of_the_timestamp(person: Person) -> None:
    before = person.json("live", "--channel", "prod")

    assert person.json("refresh")["renewed"] == []
    assert person.json("live", "--channel", "prod") == before


def test_what_expires_soon_is_warned_of(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    import builder.auditing

    person.writ("publish")
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=24)
    monkeypatch.setattr(builder.auditing, "system_clock", lambda: soon)

    person.writ("verify")

    assert "warning: timestamp expires in 5 days: run `writ refresh`" in person.err


@pytest.mark.parametrize("revision", ["", "nope", "a\nerror: b", "\x1b[31m", "HEAD..HEAD", "HEAD:writ.yaml"])
def test_a_revision_that_is_none_is_refused_on_one_line(person: Person, revision: str) -> None:
    person.writ("publish", "--", revision, code=2)

    error, hint = person.err.splitlines()
    assert error.startswith("error: ")
    assert error.isprintable()
    assert hint.startswith("hint: ")


def test_an_account_without_a_home_is_told_how_to_go_on(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", classmethod(homeless))

    person.writ("publish", code=2)

    assert "set XDG_CONFIG_HOME" in person.err


def test_no_room_for_temporary_files_is_said_so(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("publish", "verify"):
        with monkeypatch.context() as patched:
            patched.setattr("tempfile.tempdir", "/does/not/exist")
            person.writ(command, code=2)

        assert "error: temporary files: No such file or directory" in person.err
        assert "TMPDIR" in person.err


def test_a_bundle_damaged_in_the_store_does_not_pass_verification(person: Person, tmp_path: Path) -> None:
    person.writ("publish")
    (bundle,) = (tmp_path / "store").glob("targets/prod/*.tar.gz")
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"\xff")

    person.writ("verify", code=5)


def test_a_damaged_old_bundle_is_not_rolled_back_to(person: Person, tmp_path: Path) -> None:
    person.writ("publish")
    (bundle,) = (tmp_path / "store").glob("targets/prod/*.tar.gz")
    person.folder.commit_policy("second")
    person.writ("publish")
    bundle.write_bytes(b"damaged")

    person.writ("rollback", "--channel", "prod", "--reason", "too strict", code=5)

    assert person.json("live", "--channel", "prod")["intervals"][0]["release"]["release"] == 2
