"""What a TUF client must accept and refuse of metadata (the client workflow of the specification, section 5)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf_repository import TufRepository

TRUST_FAILED, UNAVAILABLE, USAGE, CONFLICT = 5, 6, 2, 7
ONE_EACH = {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

Client = Any  # of conftest.py


class TestBeginning:
    def test_nothing_is_asked_before_the_first_refresh(self, client: Client) -> None:
        assert client.repository.asked == []
        assert client.trusted == {"root": 1}

    def test_a_refresh_asks_for_each_role_once_and_keeps_its_very_bytes(self, client: Client) -> None:
        assert client.refresh() == 0

        names = ["2.root", "timestamp", "1.snapshot", "1.targets"]
        assert client.repository.asked == [f"/metadata/{name}.json" for name in names]
        assert client.trusted == ONE_EACH
        for role in ONE_EACH:
            assert (client.folder / f"metadata/{role}.json").read_bytes() == client.repository.served[
                client.repository.path(role)
            ]

    def test_a_second_refresh_asks_for_root_and_timestamp_only(self, client: Client) -> None:
        client.refresh()

        assert client.refresh() == 0
        assert client.repository.asked == ["/metadata/2.root.json", "/metadata/timestamp.json"]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda root: root.replace(b'"sig":"', b'"sig":"00'),
            lambda root: root.replace(b'"version":1}', b'"version":9}'),
            lambda root: root[:-1],
            lambda _: b"{}",
        ],
        ids=["signature", "content", "truncated", "empty"],
    )
    def test_a_root_that_is_none_is_never_trusted(
        self, client_of: Any, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
    ) -> None:
        client = client_of(TufRepository())

        assert client.init(damage(client.repository.served["/metadata/1.root.json"])) == TRUST_FAILED
        assert client.refresh() == USAGE
        assert client.repository.asked == []
        assert "trusts no root yet" in capsys.readouterr().err

    def test_beginning_again_with_the_same_root_keeps_what_was_seen(self, client: Client) -> None:
        client.refresh()

        assert client.init() == 0
        assert client.trusted == ONE_EACH

    def test_every_update_starts_from_the_trust_root(self, client: Client) -> None:
        client.refresh()
        newest = client.folder / "metadata/root.json"
        newest.unlink()
        newest.write_bytes(TufRepository().sign("root"))

        assert client.refresh() == 0
        assert newest.read_bytes() == client.repository.served["/metadata/1.root.json"]

    def test_another_root_needs_another_directory(self, client: Client) -> None:
        assert client.init(TufRepository().sign("root")) == CONFLICT
        assert client.refresh() == 0


class TestRoots:
    def test_three_new_roots_with_new_keys_are_followed_at_once(self, client: Client) -> None:
        for _ in range(3):
            client.repository.rotate_key("root")
            client.repository.publish_root()

        assert client.refresh() == 0
        assert client.trusted["root"] == 4
        assert client.repository.asked[:4] == [f"/metadata/{number}.root.json" for number in (2, 3, 4, 5)]

    def test_expired_roots_on_the_way_do_not_matter(self, client: Client) -> None:
        expires, client.repository.root.expires = client.repository.root.expires, PAST
        client.repository.publish_root()
        client.repository.root.expires = expires
        client.repository.publish_root()

        assert client.refresh() == 0
        assert client.trusted["root"] == 3

    def test_an_expired_last_root_is_kept_and_ends_the_update(self, client: Client) -> None:
        client.repository.root.expires = PAST
        client.repository.publish_root()

        assert client.refresh() == TRUST_FAILED
        assert client.trusted == {"root": 2}

    @pytest.mark.parametrize("version", [1, 3])
    def test_a_root_under_a_number_not_its_own_is_refused(self, client: Client, version: int) -> None:
        client.repository.root.version = version
        client.repository.served["/metadata/2.root.json"] = client.repository.sign("root")

        assert client.refresh() == TRUST_FAILED
        assert client.trusted == {"root": 1}

    def test_a_root_needs_the_keys_of_the_one_before(self, client: Client) -> None:
        client.repository.rotate_key("root")
        client.repository.root.version = 2
        client.repository.write("root")

        assert client.refresh() == TRUST_FAILED
        assert client.trusted == {"root": 1}

    def test_a_root_needs_as_many_keys_as_it_demands_itself(self, client: Client) -> None:
        first = list(client.repository.signers["root"])
        client.repository.add_key("root")
        client.repository.root.roles["root"].threshold = 2
        client.repository.root.version = 2
        client.repository.write("root", first)

        assert client.refresh() == TRUST_FAILED
        assert client.trusted == {"root": 1}

    def test_more_keys_and_a_higher_threshold_are_followed(self, client: Client) -> None:
        client.repository.add_key("root")
        client.repository.root.roles["root"].threshold = 2
        client.repository.publish_root()
        client.repository.publish_root()

        assert client.refresh() == 0
        assert client.trusted["root"] == 3

    @pytest.mark.parametrize("status", [403, 401, 500])
    def test_a_root_that_is_withheld_is_not_the_end_of_the_roots(self, client: Client, status: int) -> None:
        client.repository.served["/metadata/2.root.json"] = status

        assert client.refresh() == UNAVAILABLE
        assert client.trusted == {"root": 1}

    def test_unknown_fields_are_signed_and_kept(self, client: Client) -> None:
        root = client.repository.root
        root.unrecognized_fields["x-more"] = {"a": [1, "ü", None]}
        root.roles["root"].unrecognized_fields["x-more"] = 1
        next(iter(root.keys.values())).unrecognized_fields["x-more"] = "more"
        client.repository.publish_root()

        assert client.refresh() == 0
        assert client.trusted["root"] == 2


class TestKeys:
    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    @pytest.mark.parametrize("signers", [[], [CryptoSigner.generate_ed25519()]], ids=["unsigned", "foreign"])
    def test_a_role_its_keys_have_not_signed_is_refused(self, client: Client, role: str, signers: list[Any]) -> None:
        client.repository.write(role, signers)

        assert client.refresh() == TRUST_FAILED
        assert role not in client.trusted

    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    def test_one_key_does_not_make_a_threshold_of_two(self, client: Client, role: str) -> None:
        client.repository.root.roles[role].threshold = 2
        client.repository.add_key(role)
        client.repository.publish_root()
        client.repository.publish("targets")
        client.repository.write(role, client.repository.signers[role][:1])

        assert client.refresh() == TRUST_FAILED
        assert role not in client.trusted

    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    def test_after_a_rotation_the_new_key_counts_and_the_old_one_does_not(self, client: Client, role: str) -> None:
        client.refresh()
        old = client.repository.signers[role]
        client.repository.rotate_key(role)
        client.repository.publish_root()
        client.repository.publish("targets")

        assert client.refresh() == 0
        assert client.trusted == {"root": 2, "timestamp": 2, "snapshot": 2, "targets": 2}

        client.repository.publish("targets")
        client.repository.write(role, old)
        assert client.refresh() == TRUST_FAILED
        assert client.trusted[role] == 2

    @pytest.mark.parametrize(
        "make",
        [
            CryptoSigner.generate_ed25519,
            CryptoSigner.generate_ecdsa,
            CryptoSigner.generate_rsa,
            lambda: CryptoSigner.generate_rsa(scheme="rsa-pkcs1v15-sha256"),
        ],
        ids=["ed25519", "ecdsa", "rsa-pss", "rsa-pkcs1v15"],
    )
    def test_keys_of_every_usual_kind_are_known(self, client: Client, make: Callable[[], CryptoSigner]) -> None:
        client.repository.rotate_key("timestamp", make())
        client.repository.publish_root()
        client.repository.publish_timestamp()

        assert client.refresh() == 0
        assert client.trusted["timestamp"] == 2


@pytest.fixture(params=[False, True], ids=["versions", "hashes"])
def seasoned(request: pytest.FixtureRequest, client_of: Any) -> Client:
    """A client that has seen version 2 of everything, of a repository that pins versions, or hashes as well."""
    client = client_of(TufRepository(with_hashes=request.param))
    client.repository.publish("targets")
    assert client.init() == client.refresh() == 0
    return client


class TestRollback:
    def test_an_older_timestamp_is_refused(self, seasoned: Client) -> None:
        seasoned.repository.timestamp.version = 1
        seasoned.repository.write("timestamp")

        assert seasoned.refresh() == TRUST_FAILED
        assert seasoned.trusted["timestamp"] == 2

    def test_a_timestamp_that_changes_without_a_new_version_is_passed_over(self, seasoned: Client) -> None:
        seasoned.repository.timestamp.snapshot_meta.version = 100
        seasoned.repository.write("timestamp")

        assert seasoned.refresh() == 0
        assert seasoned.repository.asked[-1] == "/metadata/timestamp.json"
        assert (seasoned.folder / "metadata/timestamp.json").read_bytes() != seasoned.repository.served[
            "/metadata/timestamp.json"
        ]

    def test_a_timestamp_that_pins_an_older_snapshot_role_is_refused(self, seasoned: Client) -> None:
        seasoned.repository.snapshot.version = 1
        seasoned.repository.pin_snapshot()
        seasoned.repository.publish_timestamp()

        assert seasoned.refresh() == TRUST_FAILED
        assert (seasoned.trusted["timestamp"], seasoned.trusted["snapshot"]) == (2, 2)

    def test_a_snapshot_role_that_pins_older_targets_is_refused(self, seasoned: Client) -> None:
        seasoned.repository.targets().version = 0
        seasoned.repository.publish("targets")

        assert seasoned.refresh() == TRUST_FAILED
        assert (seasoned.trusted["snapshot"], seasoned.trusted["targets"]) == (2, 2)

    def test_a_snapshot_role_that_forgets_a_role_is_refused(self, seasoned: Client) -> None:
        seasoned.repository.delegate("team")
        seasoned.repository.publish("team", "targets")
        seasoned.refresh()
        del seasoned.repository.snapshot.meta["team.json"]
        seasoned.repository.publish_snapshot()

        assert seasoned.refresh() == TRUST_FAILED
        assert seasoned.trusted["snapshot"] == 3


class TestFastForward:
    """Versions that thieves have raised as high as they go are given up together with the keys."""

    def test_of_the_timestamp_ends_with_its_key(self, seasoned: Client) -> None:
        seasoned.repository.timestamp.version = 2**31
        seasoned.repository.write("timestamp")
        assert seasoned.refresh() == 0

        seasoned.repository.rotate_key("timestamp")
        seasoned.repository.publish_root()
        seasoned.repository.timestamp.version = 3
        seasoned.repository.write("timestamp")

        assert seasoned.refresh() == 0
        assert seasoned.trusted["timestamp"] == 3

    def test_of_the_snapshot_role_ends_with_its_key_and_that_of_the_timestamp(self, seasoned: Client) -> None:
        seasoned.repository.snapshot.version = 2**31
        seasoned.repository.publish_snapshot()
        assert seasoned.refresh() == 0

        for role in ("snapshot", "timestamp"):
            seasoned.repository.rotate_key(role)
        seasoned.repository.publish_root()
        seasoned.repository.snapshot.version = 2
        seasoned.repository.publish_snapshot()

        assert seasoned.refresh() == 0
        assert seasoned.trusted["snapshot"] == 3

    def test_of_the_targets_ends_with_the_key_of_the_snapshot_role(self, seasoned: Client) -> None:
        seasoned.repository.targets().version = 2**31
        seasoned.repository.publish("targets")
        assert seasoned.refresh() == 0

        seasoned.repository.rotate_key("snapshot")
        seasoned.repository.publish_root()
        seasoned.repository.targets().version = 2
        seasoned.repository.publish("targets")

        assert seasoned.refresh() == 0
        assert seasoned.trusted["targets"] == 3


class TestMixAndMatch:
    def test_a_snapshot_role_of_another_version_than_pinned_is_refused(self, seasoned: Client) -> None:
        seasoned.repository.publish_snapshot()
        seasoned.repository.snapshot.version += 1
        seasoned.repository.served["/metadata/3.snapshot.json"] = seasoned.repository.sign("snapshot")

        assert seasoned.refresh() == TRUST_FAILED
        assert seasoned.trusted["snapshot"] == 2

    def test_targets_of_another_version_than_pinned_are_refused(self, seasoned: Client) -> None:
        seasoned.repository.publish("targets")
        seasoned.repository.targets().version += 1
        seasoned.repository.served["/metadata/3.targets.json"] = seasoned.repository.sign("targets")

        assert seasoned.refresh() == TRUST_FAILED
        assert seasoned.trusted["targets"] == 2

    @pytest.mark.parametrize("role", ["snapshot", "targets"])
    def test_other_content_than_pinned_is_refused(self, client_of: Any, role: str) -> None:
        client = client_of(TufRepository(with_hashes=True))
        client.repository.roles[role].unrecognized_fields["x-other"] = 1
        client.repository.write(role)
        client.init()

        assert client.refresh() == TRUST_FAILED
        assert role not in client.trusted

    @pytest.mark.parametrize(
        ("role", "limit"), [("timestamp", 16_384), ("snapshot", 2_000_000), ("targets", 5_000_000)]
    )
    def test_metadata_beyond_the_limit_is_refused(self, client: Client, role: str, limit: int) -> None:
        client.repository.roles[role].unrecognized_fields["x-long"] = "x" * limit
        client.repository.write(role)

        assert client.refresh() == TRUST_FAILED
        assert role not in client.trusted

    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    def test_metadata_that_is_not_there_is_not_made_up_for(self, client: Client, role: str) -> None:
        del client.repository.served[client.repository.path(role)]

        assert client.refresh() == UNAVAILABLE
        assert role not in client.trusted


class TestExpiry:
    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    def test_expired_metadata_is_refused(self, seasoned: Client, role: str) -> None:
        seasoned.repository.roles[role].expires = PAST
        seasoned.repository.publish("targets")

        assert seasoned.refresh() == TRUST_FAILED
        assert seasoned.trusted["targets"] == 2

    def test_what_expired_here_meanwhile_is_replaced(self, seasoned: Client, let_it_be: Any) -> None:
        for role in ("root", "timestamp", "snapshot", "targets"):
            seasoned.repository.roles[role].expires += timedelta(days=60)
        seasoned.repository.publish_root()
        seasoned.repository.publish("targets")
        let_it_be(40)

        assert seasoned.refresh() == 0
        assert seasoned.trusted == {"root": 2, "timestamp": 3, "snapshot": 3, "targets": 3}

    def test_a_repository_that_stands_still_is_found_out(self, seasoned: Client, let_it_be: Any) -> None:
        let_it_be(40)

        assert seasoned.refresh() == TRUST_FAILED

    def test_what_expired_here_still_says_what_is_too_old(self, seasoned: Client, let_it_be: Any) -> None:
        for role in ("root", "timestamp", "snapshot", "targets"):
            seasoned.repository.roles[role].expires += timedelta(days=60)
        seasoned.repository.publish_root()
        seasoned.repository.timestamp.version = 1
        seasoned.repository.write("timestamp")
        let_it_be(40)

        assert seasoned.refresh() == TRUST_FAILED
        assert seasoned.trusted["timestamp"] == 2
