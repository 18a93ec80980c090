"""What a TUF client must accept and refuse of targets and of those who may list them (5.6, 5.7)."""

import fcntl
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from signed_store import SignedStore, bundle, rules
from tuf_repository import TufRepository

from agent_sidecar.cli.main import main

BODY = b"what is to be downloaded"
TRUST_FAILED, UNAVAILABLE, USAGE = 5, 6, 2

Client = Any  # of conftest.py


def asked_roles(client: Client) -> list[str]:
    """Return the delegated roles the client asked for, in order."""
    names = [path.rpartition("/")[2].split(".") for path in client.repository.asked if "/metadata/" in path]
    return [name[1] for name in names if len(name) == 3 and name[1] not in {"root", "snapshot", "targets"}]


class TestFiles:
    @pytest.mark.parametrize("path", ["a.txt", "deep/down/a.txt"])
    @pytest.mark.parametrize("consistent", [True, False])
    def test_a_target_is_downloaded(self, client_of: Any, path: str, consistent: bool) -> None:
        client = client_of(TufRepository(consistent=consistent))
        client.repository.list_target(path, BODY)
        client.repository.publish("targets")
        client.init()

        assert client.download(path) == 0
        assert list(client.downloaded.values()) == [BODY]

    def test_where_it_lies_is_printed(self, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
        client.repository.list_target("a.txt", BODY)
        client.repository.publish("targets")

        client.download("a.txt")
        assert Path(capsys.readouterr().out.strip()).read_bytes() == BODY

    def test_what_is_there_already_is_not_fetched_again(self, client: Client) -> None:
        target = client.repository.list_target("a.txt", BODY)
        client.repository.publish("targets")
        client.download("a.txt")

        assert client.download("a.txt") == 0
        assert client.repository.target_path(target) not in client.repository.asked

    def test_what_was_altered_here_is_fetched_again(self, client: Client) -> None:
        client.repository.list_target("a.txt", BODY)
        client.repository.publish("targets")
        client.download("a.txt")
        (client.folder / "targets/a.txt").write_bytes(BODY[::-1])

        assert client.download("a.txt") == 0
        assert client.downloaded == {"a.txt": BODY}

    def test_a_new_content_replaces_the_old_one(self, client: Client) -> None:
        for body in (b"first", b"second"):
            client.repository.list_target("a.txt", body)
            client.repository.publish("targets")
            assert client.download("a.txt") == 0

        assert client.downloaded == {"a.txt": b"second"}

    @pytest.mark.parametrize(
        "damage",
        [lambda body: body[:-1], lambda body: body + b"!", lambda body: body[::-1], lambda _: b""],
        ids=["short", "long", "altered", "empty"],
    )
    def test_other_bytes_than_signed_are_refused_and_not_kept(
        self, client: Client, damage: Callable[[bytes], bytes]
    ) -> None:
        target = client.repository.list_target("a.txt", BODY)
        client.repository.publish("targets")
        client.repository.served[client.repository.target_path(target)] = damage(BODY)

        assert client.download("a.txt") == TRUST_FAILED
        assert client.downloaded == {}

    def test_every_digest_must_hold(self, client: Client) -> None:
        target = client.repository.list_target("a.txt", BODY)
        target.hashes["sha512"] = "0" * 128
        client.repository.publish("targets")

        assert client.download("a.txt") == TRUST_FAILED

    @pytest.mark.parametrize("algorithm", ["sha224", "sha384", "sha512"])
    def test_digests_of_every_usual_kind_are_known(self, client: Client, algorithm: str) -> None:
        client.repository.list_target("a.txt", BODY, algorithm=algorithm)
        client.repository.publish("targets")

        assert client.download("a.txt") == 0

    @pytest.mark.parametrize("status", [404, 403, 302])
    def test_a_listed_target_that_is_not_served_is_unavailable(self, client: Client, status: int) -> None:
        target = client.repository.list_target("a.txt", BODY)
        client.repository.publish("targets")
        client.repository.served[client.repository.target_path(target)] = status

        assert client.download("a.txt") == UNAVAILABLE
        assert client.downloaded == {}

    def test_an_unlisted_target_is_never_asked_for_though_it_is_served(
        self, client: Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        client.repository.served["/targets/b.txt"] = BODY

        assert client.download("b.txt") == USAGE
        assert client.trusted == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}  # updated nevertheless
        assert not [path for path in client.repository.asked if path.startswith("/targets/")]
        assert "b.txt: nobody who may list this target does" in capsys.readouterr().err

    def test_a_path_that_climbs_up_stays_in_the_directory(self, client: Client) -> None:
        target = client.repository.list_target("../../a.txt", BODY)
        client.repository.served[f"/{target.hashes['sha256']}.a.txt"] = BODY  # where the address leads
        client.repository.publish("targets")

        assert client.download("../../a.txt") == 0
        assert client.downloaded == {"..%2F..%2Fa.txt": BODY}


class TestDelegations:
    def test_a_delegated_target_is_downloaded_and_its_role_kept(self, client: Client) -> None:
        client.repository.delegate("team", ["team/*"])
        client.repository.list_target("team/a.txt", BODY, role="team")
        client.repository.publish("team", "targets")

        assert client.download("team/a.txt") == 0
        assert client.trusted["team"] == 1
        assert asked_roles(client) == ["team"]

    @pytest.mark.parametrize("path", ["other/a.txt", "team/deep/a.txt", "team", "TEAM/a.txt"])
    def test_a_path_that_is_not_delegated_is_not_believed(self, client: Client, path: str) -> None:
        client.repository.delegate("team", ["team/*"])
        client.repository.list_target(path, BODY, role="team")
        client.repository.publish("team", "targets")

        assert client.download(path) == USAGE
        assert asked_roles(client) == []

    def test_the_first_role_that_lists_it_is_believed(self, client: Client) -> None:
        for role in ("first", "second"):
            client.repository.delegate(role)
            client.repository.list_target("a.txt", role.encode(), role=role)
        client.repository.publish("first", "second", "targets")

        assert client.download("a.txt") == 0
        assert client.downloaded == {"a.txt": b"first"}
        assert asked_roles(client) == ["first"]

    def test_roles_are_asked_depth_first_and_once(self, client: Client) -> None:
        """The tree is a(c(a), d), b(d): the circle is not followed, and d is met below a."""
        for role, parent in (("a", "targets"), ("b", "targets"), ("c", "a"), ("d", "a"), ("a", "c"), ("d", "b")):
            client.repository.delegate(role, by=parent)
        client.repository.publish("a", "b", "c", "d", "targets")

        assert client.download("a.txt") == USAGE
        assert asked_roles(client) == ["a", "c", "d", "b"]

    def test_a_terminating_delegation_ends_the_search(self, client: Client) -> None:
        client.repository.delegate("first", terminating=True)
        client.repository.delegate("below", by="first")
        client.repository.delegate("second")
        client.repository.list_target("a.txt", BODY, role="second")
        client.repository.publish("first", "below", "second", "targets")

        assert client.download("a.txt") == USAGE
        assert asked_roles(client) == ["first", "below"]

    def test_a_terminating_delegation_of_other_paths_ends_nothing(self, client: Client) -> None:
        client.repository.delegate("first", ["other/*"], terminating=True)
        client.repository.delegate("second")
        client.repository.list_target("a.txt", BODY, role="second")
        client.repository.publish("first", "second", "targets")

        assert client.download("a.txt") == 0

    @pytest.mark.parametrize("role", ["?", "#", "a b", "/team", "../team", "ü", "%2e", "."])
    def test_names_of_roles_mean_nothing_to_server_and_disk(self, client: Client, role: str) -> None:
        client.repository.delegate(role)
        client.repository.list_target("a.txt", BODY, role=role)
        client.repository.publish(role, "targets")

        assert client.download("a.txt") == 0
        assert client.repository.path(role) in client.repository.asked
        assert len(client.trusted) == 5

    @pytest.mark.parametrize("signers", [[], [CryptoSigner.generate_ed25519()]], ids=["unsigned", "foreign"])
    def test_a_delegated_role_its_keys_have_not_signed_is_refused(self, client: Client, signers: list[Any]) -> None:
        client.repository.delegate("team")
        client.repository.list_target("a.txt", BODY, role="team")
        client.repository.publish("team", "targets")
        client.repository.write("team", signers)

        assert client.download("a.txt") == TRUST_FAILED
        assert "team" not in client.trusted

    def test_an_expired_delegated_role_is_refused(self, client: Client) -> None:
        client.repository.delegate("team")
        client.repository.list_target("a.txt", BODY, role="team")
        client.repository.roles["team"].expires = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        client.repository.publish("team", "targets")

        assert client.download("a.txt") == TRUST_FAILED

    def test_a_delegated_role_that_is_not_pinned_is_refused(self, client: Client) -> None:
        client.repository.delegate("team")
        client.repository.list_target("a.txt", BODY, role="team")
        client.repository.publish("team", "targets")
        del client.repository.snapshot.meta["team.json"]
        client.repository.publish_snapshot()

        assert client.download("a.txt") == TRUST_FAILED

    def test_an_older_delegated_role_is_refused(self, client: Client) -> None:
        client.repository.delegate("team")
        client.repository.list_target("a.txt", BODY, role="team")
        client.repository.publish("team", "targets")
        client.repository.publish("team")
        assert client.download("a.txt") == 0

        client.repository.roles["team"].version = 0
        client.repository.publish("team")
        assert client.download("a.txt") == TRUST_FAILED
        assert client.trusted["team"] == 2

    def test_a_role_that_is_delegated_no_more_is_not_believed(self, client: Client) -> None:
        client.repository.delegate("team")
        client.repository.list_target("a.txt", BODY, role="team")
        client.repository.publish("team", "targets")
        assert client.download("a.txt") == 0

        client.repository.targets().delegations = None
        client.repository.publish("targets")
        assert client.download("a.txt") == USAGE


class TestTheCommand:
    def test_a_store_of_ours_is_read_like_any_other(self, client_of: Any, tmp_path: Path) -> None:
        store, blob = SignedStore(tmp_path / "store"), bundle(rules("allow"), number=1)
        store.publish(blob)
        client = client_of(TufRepository())
        client.repository.served = {
            f"/{file.relative_to(store.directory)}": file.read_bytes() for file in store.directory.rglob("*.*")
        }

        assert client.init() == client.download("prod/acme.tar.gz") == 0
        assert client.downloaded == {"prod%2Facme.tar.gz": blob}

    def test_the_wrapper_for_the_suite_fails_with_one(self, client: Client, tmp_path: Path) -> None:
        wrapper = Path(__file__).parent / "client"
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        options = ["--metadata-dir", tmp_path / "metadata", "--metadata-url", f"{client.repository.url}/metadata"]
        assert shutil.which("writ-sidecar", path=environment["PATH"])

        codes = []
        for spoil in (False, True):
            if spoil:
                client.repository.write("timestamp", [])
            done = subprocess.run(
                [wrapper, *options, "refresh"], env=environment, capture_output=True, text=True, check=False
            )
            codes.append(done.returncode)

        assert codes == [0, 1]
        assert done.stderr.startswith(f"error: {client.repository.url}/metadata: timestamp was signed by 0/1 keys")

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("file:///etc", "not an address"),
            ("s3://bucket/metadata", "not an address"),
            ("http:///metadata", "not an address"),
            ("http://me:secret@127.0.0.1/", "credentials do not belong into the URL"),
            ("http://127.0.0.1/?token=secret", "has no query and no fragment"),
        ],
    )
    def test_only_plain_addresses_are_asked(
        self, client: Client, url: str, message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert client.run("--metadata-url", url, "refresh") == USAGE

        told = capsys.readouterr().err
        assert message in told
        assert "secret" not in told

    @pytest.mark.parametrize("missing", ["--metadata-url", "--target-name", "--target-dir", "--target-base-url"])
    def test_a_missing_option_is_named(self, client: Client, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--metadata-url", "http://127.0.0.1:9/m", "--target-name", "a", "--target-dir", "t"]
        options += ["--target-base-url", "http://127.0.0.1:9/t"]
        where = options.index(missing)
        del options[where : where + 2]

        assert client.run(*options, "download") == USAGE
        assert f"missing option '{missing}'" in capsys.readouterr().err

    @pytest.mark.parametrize("command", [["init", __file__], ["refresh"], ["download"]], ids=lambda words: words[0])
    def test_without_a_directory_nothing_is_done(self, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["tuf-client", *command]) == USAGE
        assert "missing option '--metadata-dir'" in capsys.readouterr().err

    def test_a_second_process_waits_for_the_first(self, client: Client) -> None:
        with (client.folder / "metadata/.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            second = threading.Thread(target=client.refresh)
            second.start()
            second.join(0.2)
            assert (second.is_alive(), client.repository.asked) == (True, [])
        second.join(10)

        assert client.trusted["targets"] == 1

    def test_a_redirect_is_not_followed(self, client: Client) -> None:
        there = client.repository.served["/metadata/timestamp.json"]
        client.repository.served |= {"/metadata/timestamp.json": 302, "/moved/metadata/timestamp.json": there}

        assert client.refresh() == UNAVAILABLE
        assert client.repository.asked[-1] == "/metadata/timestamp.json"
