"""Keys that change hands: with people who sign, thieves who hold some of the keys, and whoever dies on the way."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata

from builder.publishing import metadata
from builder.publishing.before import read_before
from builder.publishing.carrying_out import (
    SignedAlreadyError,
    UnderSignedError,
    apply,
    change_keys,
    sign,
    sign_or_refuse,
)
from builder.publishing.ceremony import check, propose
from builder.publishing.holders import Holders, HoldersError
from builder.publishing.key_changes import KeyChange, change_holders
from builder.publishing.keys import KeyRing
from builder.publishing.pending import Pending, PendingError, StaleError
from builder.publishing.private_keys import KeyMissingError
from builder.publishing.staging import StagedStateError
from builder.publishing.writing import put_numbered, swap_timestamp
from bundle_store.port import ObjectNotFoundError, StoreUnavailableError
from policy_core.errors import TrustError
from policy_core.trust.errors import ExpiredError, MetadataError
from policy_core.trust.layout import metadata_name

World = Any  # of ../conftest.py
Tamper = Callable[[Any], object]


def publishers(world: World, **changes: Any) -> Any:
    return {"prod": world.publisher(**changes)}


def begin(world: World, wish: Any, *rings: KeyRing) -> Pending:
    """Return the document of a ceremony, as a file would carry it, signed by some."""
    ceremony = propose(publishers(world), read_before(publishers(world)), wish)
    for ring in rings:
        ceremony = sign(ceremony, ring).ceremony
    return reread(ceremony.document)


def reread(document: Pending) -> Pending:
    return Pending.from_bytes(document.to_bytes(), "test.ceremony")


def checked(world: World, document: Pending) -> Any:
    return check(document, read_before(publishers(world)), world.now, "test.ceremony")


def finish(world: World, document: Pending, **changes: Any) -> Any:
    return apply(publishers(world, **changes), document, "test.ceremony")


def adding(role: str, *keys: Any, threshold: int = 0) -> Any:
    return lambda before: change_holders(before, role, added=keys, threshold=threshold)


def revoking(role: str, *names: str, threshold: int = 0) -> Any:
    return lambda before: change_holders(before, role, removed=names, threshold=threshold)


def replacing(role: str, old: str, new: Any) -> Any:
    return lambda before: change_holders(before, role, added=[new], removed=[old])


def keyid(world: World, role: str) -> str:
    return str(world.keys.public_key(role).keyid)


@pytest.fixture
def rooted(peopled: World) -> World:
    """Give root and targets to two of Ana, Bo and Cy, too."""
    three = tuple(peopled.person(name).key for name in ("ana", "bo", "cy"))
    rings = [peopled.person(name).ring("root", "targets") for name in ("ana", "bo")]
    peopled.change_keys(KeyChange({"root": Holders(three, 2), "targets": Holders(three, 2)}), *rings)
    for role in ("root", "targets"):
        peopled.keys.path(role).unlink()
    return peopled


class TestPeople:
    def test_hold_a_channel_together(self, peopled: World) -> None:
        state = peopled.publisher().reader.read()

        assert (state.threshold("prod"), len(state.keys("prod"))) == (2, 3)
        assert peopled.seen().release.release == 1

    def test_get_an_oncall_role_that_says_nothing_yet(self, peopled: World) -> None:
        seen = peopled.seen()

        assert seen.channel.oncall is None
        assert seen.versions["prod.oncall"] == 1

    def test_sign_one_after_the_other_until_it_is_enough(self, rooted: World) -> None:
        document = begin(rooted, revoking("prod", "cy"))
        for name in ("ana", "bo"):
            with pytest.raises(UnderSignedError, match="signatures are missing: targets: "):
                finish(rooted, document)
            ring = rooted.person(name).ring("targets", "prod")
            document = reread(sign_or_refuse(checked(rooted, document), ring).ceremony.document)

        finish(rooted, document)

        assert len(rooted.publisher().reader.read().keys("prod")) == 2
        assert rooted.seen().release.release == 1

    def test_do_not_sign_twice(self, rooted: World) -> None:
        ana = rooted.person("ana").ring("root", "targets", "prod")
        document = begin(rooted, revoking("prod", "cy"), ana)

        with pytest.raises(SignedAlreadyError, match=r"role targets: key \w{12} has signed this already"):
            sign_or_refuse(checked(rooted, document), ana)

    def test_who_hold_nothing_sign_nothing(self, rooted: World) -> None:
        document = begin(rooted, revoking("prod", "cy"))

        with pytest.raises(KeyMissingError, match=r"role targets: .* gives no key that may sign for it"):
            sign_or_refuse(checked(rooted, document), rooted.person("di").ring("targets", "prod"))

    def test_are_not_needed_where_all_keys_are_here(self, world: World) -> None:
        world.publish()
        world.keys.create("colleague")
        colleague = world.keys.public_key("colleague")

        change_keys(publishers(world), adding("timestamp", colleague))

        seen = world.publisher().reader.read()
        assert {key.keyid for key in seen.keys("timestamp")} == {keyid(world, "timestamp"), colleague.keyid}
        assert world.seen().versions["root"] == 2

    @pytest.mark.parametrize("at", [1, 2, 3])
    def test_who_lose_a_race_go_on_where_they_were(self, world: World, disturbed: Any, at: int) -> None:
        """The snapshot role, root, then the timestamp: what others publish before it is kept."""
        world.publish()
        world.folder.commit_policy("second")
        world.keys.create("colleague")
        store = disturbed(world.store, at, world.publish)

        change_keys(publishers(world, store=store), adding("timestamp", world.keys.public_key("colleague")))

        seen = world.seen()
        assert (seen.versions["root"], seen.release.release) == (2, 2)

    def test_who_are_missing_are_named_before_anything_is_written(self, rooted: World, recording: Any) -> None:
        store = recording(rooted.store)

        with pytest.raises(UnderSignedError, match=r"targets: 2 of ana \(\w{12}\) or bo \(\w{12}\) or cy"):
            change_keys(publishers(rooted, store=store), revoking("prod", "cy"))

        assert not [call for call in store.calls if call.startswith("put")]

    def test_without_the_keys_of_publishers_nothing_is_written(self, rooted: World, recording: Any) -> None:
        rings = [rooted.person(name).ring("targets") for name in ("ana", "bo")]
        document = begin(rooted, revoking("prod", "cy"), *rings)
        rooted.keys.path("timestamp").unlink()
        store = recording(rooted.store)

        with pytest.raises(KeyMissingError, match="role timestamp: no key at"):
            finish(rooted, document, store=store)

        assert not [call for call in store.calls if call.startswith("put")]


class TestRefused:
    @pytest.mark.parametrize(
        ("role", "change", "message"),
        [
            ("prod", {"removed": ("ana", "bo")}, "role prod: threshold 2 with 1 key"),
            ("prod", {"threshold": 4}, "role prod: threshold 4 with 3 keys"),
            ("prod", {"threshold": 2}, "has these keys and this threshold already"),
            ("prod", {"removed": ("eve",)}, "role prod: 'eve' is none of its keys"),
            ("prod.oncall", {"removed": ("di",)}, "role prod.oncall: threshold 1 with 0 keys"),
            ("canary", {"added": "key"}, "role canary: there is no such channel"),
            ("canary.oncall", {"added": "key"}, "role canary.oncall: there is no channel canary"),
            ("Prod", {"added": "key"}, "role Prod: is none of this store's roles"),
            ("mirrors", {"removed": ("ana",)}, "role mirrors: 'ana' is none of its keys"),
        ],
    )
    def test_changes_are_named(self, peopled: World, role: str, change: Any, message: str) -> None:
        if change.get("added"):
            change = {"added": [peopled.person("eve").key]}

        with pytest.raises(HoldersError, match=message):
            begin(peopled, partial(change_holders, role=role, **change))

    @pytest.mark.parametrize("role", ["snapshot", "timestamp", "canary", "canary.oncall"])
    def test_roles_that_nobody_can_renew_are(self, peopled: World, role: str) -> None:
        with pytest.raises(HoldersError, match=f"role {role}: is none that people sign anew"):
            begin(peopled, lambda _: KeyChange(renewed=frozenset({role})))


def signed(role: str) -> Callable[[Any], Any]:
    return lambda document: document["roles"][role]["signed"]


def put(role: str, *path: str, value: Any) -> Tamper:
    """Change one value in a signed part."""

    def tamper(document: Any) -> None:
        at = signed(role)(document)
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value

    return tamper


def forget(role: str) -> Tamper:
    return lambda document: document["roles"].pop(role)


def add_role(name: str, like: str) -> Tamper:
    return lambda document: document["roles"].update({name: copy.deepcopy(document["roles"][like])})


def add_signature(role: str, keyid: str, sig: str) -> Tamper:
    return lambda document: document["roles"][role]["signatures"].append({"keyid": keyid, "sig": sig})


def more_keys(document: Any) -> None:
    """Give targets another key of Mallory's, who calls herself Bo."""
    mallory = CryptoSigner.generate_ed25519().public_key
    root = signed("root")(document)
    bo = next(keyid for keyid, key in root["keys"].items() if key.get("x-owner") == "bo")
    root["keys"][bo[:12] + mallory.keyid[12:]] = {**mallory.to_dict(), "x-owner": "bob"}
    root["roles"]["targets"]["keyids"].append(bo[:12] + mallory.keyid[12:])


def own_delegation(document: Any) -> None:
    """Delegate everything to a role that is no channel."""
    delegations = signed("targets")(document)["delegations"]
    delegations["roles"].append({**delegations["roles"][0], "name": "*", "paths": ["*"]})


def dropped_delegation(document: Any) -> None:
    roles = signed("targets")(document)["delegations"]["roles"]
    roles[:] = [role for role in roles if role["name"] != "prod.oncall"]


def looser_delegation(document: Any) -> None:
    for role in signed("targets")(document)["delegations"]["roles"]:
        role["terminating"] = False


def wider_delegation(document: Any) -> None:
    for role in signed("targets")(document)["delegations"]["roles"]:
        role["paths"].append("staging/*")


def lower_threshold(document: Any) -> None:
    for role in signed("targets")(document)["delegations"]["roles"]:
        role["threshold"] = 0 if role["name"] == "prod.oncall" else 1


def another_release(document: Any) -> None:
    for target in signed("prod")(document)["targets"].values():
        target["hashes"]["sha256"] = "0" * 64


NOT_OURS = "is not what `writ keys` would have made"


class TestTampering:
    """A file that somebody changed before the first signature: what is shown would not be what is signed."""

    @pytest.mark.parametrize(
        ("tamper", "error", "message"),
        [
            pytest.param(put("root", "version", value=9), PendingError, "root has version 9, but 2 is live", id="leap"),
            pytest.param(put("targets", "version", value=2**31), PendingError, "targets has version", id="far ahead"),
            pytest.param(put("prod", "version", value=1), PendingError, "prod has version 1", id="back"),
            pytest.param(
                put("prod", "expires", value="2099-01-01T00:00:00Z"), PendingError, "which is too long", id="for ever"
            ),
            pytest.param(
                put("root", "expires", value="2020-01-01T00:00:00Z"), StaleError, "would have expired", id="run out"
            ),
            pytest.param(put("root", "x-base", "version", value=1), StaleError, "root has changed since", id="base"),
            pytest.param(put("prod", "x-base", value=None), StaleError, "prod has changed since", id="no base"),
            pytest.param(put("root", "consistent_snapshot", value=False), PendingError, NOT_OURS, id="consistent"),
            pytest.param(put("root", "spec_version", value="1.0.0"), PendingError, NOT_OURS, id="specification"),
            pytest.param(put("targets", "x-base", "more", value=1), StaleError, "has changed", id="more base"),
            pytest.param(
                put("targets", "targets", value={"x": {"length": 1, "hashes": {"sha256": "0" * 64}}}),
                PendingError, NOT_OURS, id="target",
            ),
            pytest.param(another_release, PendingError, NOT_OURS, id="release"),
            pytest.param(more_keys, PendingError, "does not have the id that belongs to it", id="look-alike"),
            pytest.param(own_delegation, PendingError, r"role \*: is none of this store's roles", id="own role"),
            pytest.param(dropped_delegation, PendingError, "takes away prod.oncall", id="dropped role"),
            pytest.param(looser_delegation, PendingError, NOT_OURS, id="not terminating"),
            pytest.param(wider_delegation, PendingError, NOT_OURS, id="wider"),
            pytest.param(forget("prod"), StaleError, "prod would have too few signatures", id="role left out"),
            pytest.param(add_role("snapshot", "prod"), StaleError, "snapshot has changed since", id="snapshot role"),
            pytest.param(add_role("staging", "prod"), StaleError, "staging has changed since", id="unknown role"),
            pytest.param(add_signature("root", "f" * 64, "00"), PendingError, "key ffffffffffff, which may", id="who"),
        ],
    )  # fmt: skip
    def test_is_refused(self, rooted: World, tamper: Tamper, error: type[Exception], message: str) -> None:
        new = rooted.person("dee").key
        change = KeyChange({
            "root": Holders((*rooted.publisher().reader.read().keys("root"), new), 2),
            "prod": Holders((rooted.person("ana").key, new), 2),
        })  # fmt: skip
        document = json.loads(begin(rooted, lambda _: change).to_bytes())
        tamper(document)

        with pytest.raises(error, match=message):
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_with_a_threshold_is_refused_as_a_command_would(self, rooted: World) -> None:
        document = json.loads(begin(rooted, revoking("prod", "cy")).to_bytes())
        lower_threshold(document)

        with pytest.raises(PendingError, match="is no pending document"):  # python-tuf refuses 0 itself
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_after_a_signature_is_refused(self, rooted: World) -> None:
        document = json.loads(
            begin(rooted, revoking("prod", "cy"), rooted.person("ana").ring("targets", "prod")).to_bytes()
        )
        put("targets", "expires", value="2027-01-01T00:00:00Z")(document)

        with pytest.raises(PendingError, match=r"the signature of key \w{12} does not hold"):
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_what_is_not_signed_is_refused(self, rooted: World) -> None:
        document = json.loads(begin(rooted, revoking("prod", "cy")).to_bytes())
        document["roles"]["targets"]["note"] = "harmless"

        with pytest.raises(PendingError, match=NOT_OURS):
            checked(rooted, Pending.from_bytes(json.dumps(document).encode(), "test.ceremony"))

    def test_what_nobody_changed_is_not(self, rooted: World) -> None:
        change = checked(rooted, begin(rooted, revoking("prod", "cy"))).change

        assert {role: len(held.keys) for role, held in change.holders.items()} == {"prod": 2}


class TestStale:
    def test_is_the_second_of_two_on_one_base(self, rooted: World) -> None:
        rings = [rooted.person(name).ring("targets", "prod", "prod.oncall") for name in ("ana", "bo", "eve")]
        first = begin(rooted, revoking("prod", "cy"), *rings)
        second = begin(rooted, adding("prod.oncall", rooted.person("eve").key), *rings)

        finish(rooted, first)

        with pytest.raises(StaleError, match="is stale: targets has changed since it was made"):
            finish(rooted, second)
        with pytest.raises(StaleError):
            finish(rooted, first)

    def test_is_what_lost_the_race(self, rooted: World, disturbed: Any) -> None:
        rings = [rooted.person(name).ring("targets", "prod", "prod.oncall") for name in ("ana", "bo", "eve")]
        first = begin(rooted, revoking("prod", "cy"), *rings)
        second = begin(rooted, adding("prod.oncall", rooted.person("eve").key), *rings)
        store = disturbed(rooted.store, 1, lambda: finish(rooted, first))

        with pytest.raises(StaleError, match="is stale: targets has changed"):
            finish(rooted, second, store=store)

        assert len(rooted.publisher().reader.read().keys("prod")) == 2

    def test_is_not_what_others_have_refreshed_meanwhile(self, rooted: World, disturbed: Any) -> None:
        """The base still holds, so the same signatures are good on top of it."""
        rings = [rooted.person(name).ring("root") for name in ("ana", "bo", "dee")]
        document = begin(rooted, replacing("root", "cy", rooted.person("dee").key), *rings)
        another = begin(rooted, lambda _: KeyChange(renewed=frozenset({"prod.oncall"})))
        another = reread(sign(checked(rooted, another), rooted.person("di").ring("prod.oncall")).ceremony.document)
        store = disturbed(rooted.store, 1, lambda: finish(rooted, another))

        finish(rooted, document, store=store)

        seen = rooted.seen()
        assert (seen.versions["root"], seen.versions["prod.oncall"]) == (3, 2)

    def test_is_what_leaves_a_role_without_enough_signatures_by_now(self, rooted: World) -> None:
        """When it was made, the channel was signed by those who stay; since then by one who goes."""
        document = begin(rooted, revoking("prod", "cy"), *(rooted.person(n).ring("targets") for n in ("ana", "bo")))
        assert "prod" not in document.roles
        renewed = begin(
            rooted,
            lambda _: KeyChange(renewed=frozenset({"prod"})),
            *(rooted.person(name).ring("prod") for name in ("ana", "cy")),
        )
        finish(rooted, renewed)

        with pytest.raises(StaleError, match="prod would have too few signatures"):
            finish(rooted, document)


def commit_as_thief(world: World, pins: Any, *, base: int) -> None:
    """Make role files live with the stolen keys of snapshot and timestamp."""
    live = world.publisher().reader.read()
    snapshot = metadata.next_snapshot(base + 1, live.snapshot, live.chain.snapshot, pins, world.now)
    version, data = put_numbered(
        world.store, "snapshot", base + 1, lambda _: world.keys.sign("snapshot", snapshot, live.keys("snapshot"))
    )
    stamp = metadata.timestamp(live.timestamp.version + 1, metadata.pin_of(version, data), world.now)
    swap_timestamp(world.store, world.keys.sign("timestamp", stamp, live.keys("timestamp")), etag=live.etag)


def release_as(world: World, *names: str) -> None:
    """Empty the channel, signed by these people, with the stolen keys of a publisher."""
    live = world.publisher().reader.read()
    forged = Metadata(metadata.channel_role(live.verified.versions["prod"] + 1, None, None, world.now))
    for name in names:
        forged.sign(world.person(name).signer, append=True)
    version, data = put_numbered(world.store, "prod", forged.signed.version, lambda _: forged.to_bytes())
    commit_as_thief(world, {"prod": metadata.pin_of(version, data)}, base=live.snapshot.version)


class TestThieves:
    @pytest.fixture(params=["fresh", "seasoned"])
    def host(self, request: pytest.FixtureRequest, rooted: World) -> Any:
        host = rooted.host()
        if request.param == "seasoned":
            host.refresh()
        return host

    def test_with_two_keys_of_the_channel_and_a_publisher_own_it(self, rooted: World, host: Any) -> None:
        """What the others are compared with: this many keys are what it takes."""
        release_as(rooted, "ana", "cy")

        assert host.refresh()[1].release is None

    def test_with_one_of_two_keys_are_refused(self, rooted: World, host: Any) -> None:
        release_as(rooted, "ana")

        with pytest.raises(MetadataError, match="prod was signed by 1/2 keys"):
            host.refresh()

    def test_with_a_key_that_was_revoked_are_refused(self, rooted: World, host: Any) -> None:
        rings = [rooted.person(name).ring("targets", "prod") for name in ("ana", "bo")]
        finish(rooted, begin(rooted, revoking("prod", "cy"), *rings))

        release_as(rooted, "ana", "cy")

        with pytest.raises(MetadataError, match="prod was signed by 1/2 keys"):
            host.refresh()

    def test_with_the_oncall_key_cannot_sign_for_the_channel(self, rooted: World, host: Any) -> None:
        release_as(rooted, "di", "ana")

        with pytest.raises(MetadataError, match="prod was signed by 1/2 keys"):
            host.refresh()

    def test_with_old_root_keys_make_no_next_root(self, rooted: World, host: Any) -> None:
        new = {name: rooted.person(name) for name in ("dee", "eli")}
        everybody = [rooted.person(name).ring("root") for name in ("ana", "bo", "dee", "eli")]
        change = KeyChange({"root": Holders(tuple(person.key for person in new.values()), 2)})
        finish(rooted, begin(rooted, lambda _: change, *everybody))
        forged = Metadata(metadata.next_root(rooted.publisher().reader.read().root, rooted.now))
        forged.signed.roles["timestamp"].keyids = []
        for name in ("ana", "bo", "cy"):
            forged.sign(rooted.person(name).signer, append=True)
        rooted.store.put(metadata_name("root", 4), forged.to_bytes(), if_etag=None)

        with pytest.raises(MetadataError, match="root was signed by 0/2 keys"):
            host.refresh()
        with pytest.raises(TrustError, match="root"):
            begin(rooted, revoking("prod", "cy"))

    def test_with_the_new_root_keys_alone_make_no_root_either(self, rooted: World, host: Any) -> None:
        """A root that only its own keys sign is everybody's to make."""
        forged = Metadata(metadata.next_root(rooted.publisher().reader.read().root, rooted.now))
        mallory = CryptoSigner.generate_ed25519()
        forged.signed.add_key(mallory.public_key, "root")
        forged.signed.roles["root"].keyids, forged.signed.roles["root"].threshold = [mallory.public_key.keyid], 1
        forged.sign(mallory)
        rooted.store.put(metadata_name("root", 3), forged.to_bytes(), if_etag=None)

        with pytest.raises(MetadataError, match="root was signed by 0/2 keys"):
            host.refresh()


class TestHosts:
    def test_follow_over_five_rotations_that_they_missed(self, rooted: World) -> None:
        missed_all, always = rooted.host(), rooted.host()
        missed_all.refresh()
        always.refresh()
        names = ["ana", "bo", "cy", "dee", "eli", "flo", "gus", "hal"]
        for old, new in zip(names, names[3:], strict=False):  # in the end nobody of the first three is left
            holders = {str(key.unrecognized_fields["x-owner"]) for key in rooted.publisher().reader.read().keys("root")}
            rings = [rooted.person(name).ring("root") for name in {*holders, new}]
            finish(rooted, begin(rooted, replacing("root", old, rooted.person(new).key), *rings))
            always.refresh()

        for host in (missed_all, always, rooted.host()):
            chain, verified = host.refresh()
            assert (verified.versions["root"], len(chain.roots)) == (7, 6)
            assert verified.release.release == 1

    def test_are_back_after_people_have_signed_what_had_expired(self, rooted: World, let_it_be: Any) -> None:
        host = rooted.host()
        host.refresh()
        let_it_be(400)
        with pytest.raises(ExpiredError):
            host.refresh()
        everything = frozenset({"root", "targets", "prod", "prod.oncall"})
        rings = [rooted.person(name).ring("root", "targets", "prod") for name in ("ana", "bo")]
        document = begin(
            rooted, lambda _: KeyChange(renewed=everything), *rings, rooted.person("di").ring("prod.oncall")
        )

        finish(rooted, document)

        verified = host.refresh()[1]
        assert verified.release.release == 1
        assert verified.versions["root"] == 3

    def test_would_not_be_back_with_less_so_nothing_is_written(self, rooted: World, let_it_be: Any) -> None:
        let_it_be(400)
        rings = [rooted.person(name).ring("root") for name in ("ana", "bo")]
        document = begin(rooted, lambda _: KeyChange(renewed=frozenset({"root"})), *rings)

        with pytest.raises(StagedStateError, match="targets is expired"):
            finish(rooted, document)

        with pytest.raises(ObjectNotFoundError):
            rooted.store.get(metadata_name("root", 3), max_bytes=1_000_000)

    def test_forget_versions_that_a_thief_drove_up(self, rooted: World) -> None:
        """The keys of a publisher were stolen: new ones are all it takes."""
        host = rooted.host()
        live = rooted.publisher().reader.read()
        stamp = metadata.timestamp(2**31, live.timestamp.snapshot_meta, rooted.now)
        swap_timestamp(rooted.store, rooted.keys.sign("timestamp", stamp, live.keys("timestamp")), etag=live.etag)
        host.refresh()
        old = keyid(rooted, "timestamp")
        rooted.keys.path("timestamp").unlink()
        rooted.keys.create("timestamp")
        rings = [rooted.person(name).ring("root") for name in ("ana", "bo")]
        document = begin(rooted, replacing("timestamp", old, rooted.keys.public_key("timestamp")), *rings)

        finish(rooted, document)

        assert host.refresh()[1].versions["root"] == 3


WRITES = {1: "targets", 2: "channel role", 3: "snapshot role", 4: "root", 5: "timestamp"}


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("at", WRITES)
class TestOnTheWay:
    """All keys that can be replaced are, at once: after the root nothing that was live is good any more."""

    def everything(self, world: World) -> tuple[Pending, Any]:
        """Return a signed ceremony, and what a publisher with the new keys changes about itself."""
        new = {role: CryptoSigner.generate_ed25519() for role in ("snapshot", "timestamp")}
        folder = world.tmp_path / "new-keys"
        folder.mkdir(mode=0o700)
        for role, signer in new.items():
            (folder / f"{role}.pem").write_bytes(signer.private_bytes)
            (folder / f"{role}.pem").chmod(0o600)
        dee, eli = world.person("dee"), world.person("eli")
        holders = {role: Holders((signer.public_key,), 1) for role, signer in new.items()}
        holders |= {role: Holders((dee.key, eli.key), 2) for role in ("root", "targets", "prod")}
        rings = [world.person(name).ring("root", "targets", "prod") for name in ("ana", "bo", "dee", "eli")]
        document = begin(world, lambda _: KeyChange(holders), *rings)
        return document, replace(world.keys, directory=folder)

    def test_who_dies_is_completed_by_the_next(
        self, rooted: World, disturbed: Any, raising: Any, killed: Any, at: int, applied: bool
    ) -> None:
        host = rooted.host()
        host.refresh()
        document, ring = self.everything(rooted)
        with pytest.raises(killed):
            finish(
                rooted, document, store=disturbed(rooted.store, at, raising(killed()), applied=applied), key_ring=ring
            )

        if at == 5 and applied:
            with pytest.raises(StaleError):
                finish(rooted, document, key_ring=ring)
        else:
            finish(rooted, document, key_ring=ring)

        for each in (host, rooted.host()):
            verified = each.refresh()[1]
            assert verified.release.release == 1
            assert verified.versions["root"] == 3

    def test_a_lost_answer_is_read_back(
        self, rooted: World, disturbed: Any, raising: Any, at: int, applied: bool
    ) -> None:
        document, ring = self.everything(rooted)
        event = raising(StoreUnavailableError("409, 500 or no answer"))

        finish(rooted, document, store=disturbed(rooted.store, at, event, applied=applied), key_ring=ring)

        assert rooted.seen().versions["root"] == 3


class TestABegunRoot:
    """The first step of a change that was cut short: nobody may mistake it for the end, or build on something else."""

    @pytest.fixture
    def cut_short(self, world: World, disturbed: Any, raising: Any, killed: Any) -> World:
        """Have a machine's key of targets replaced, all keys here, and die right after the root."""
        world.publish()
        old = keyid(world, "targets")
        world.keys.create("next")
        next_key = world.keys.public_key("next")
        world.keys.path("next").replace(world.keys.path("targets"))
        store = disturbed(world.store, 3, raising(killed()), applied=True)
        with pytest.raises(killed):
            change_keys(publishers(world, store=store), replacing("targets", old, next_key))
        return world

    def test_is_completed_by_whatever_comes_next(self, cut_short: World) -> None:
        with pytest.raises(TrustError, match="targets"):
            cut_short.seen()

        change_keys(publishers(cut_short), lambda _: None)

        assert cut_short.seen().release.release == 1
        assert change_keys(publishers(cut_short), lambda _: None) is None

    def test_of_another_ceremony_is_not_overwritten(self, cut_short: World) -> None:
        before = read_before(publishers(cut_short))
        other = propose(
            publishers(cut_short), replace(before, begun=None), adding("targets", cut_short.person("a").key)
        )

        with pytest.raises(PendingError, match="root 2 is in the store already, and is another"):
            checked(cut_short, reread(other.document))

    def test_that_others_wrote_is_not_taken_for_one(self, world: World) -> None:
        world.publish()
        forged = Metadata(metadata.next_root(world.publisher().reader.read().root, world.now))
        forged.sign(CryptoSigner.generate_ed25519())
        world.store.put(metadata_name("root", 2), forged.to_bytes(), if_etag=None)

        with pytest.raises(MetadataError, match=r"root: .*signed by 0/1 keys"):
            read_before(publishers(world))


def test_a_key_of_another_kind_is_a_key(world: World) -> None:
    """RSA and P-256, as key management services have them, beside ed25519."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    world.publish()
    keys = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]

    change_keys(publishers(world), adding("snapshot", *(SSlibKey.from_crypto(key.public_key()) for key in keys)))

    assert world.seen().versions["root"] == 2
