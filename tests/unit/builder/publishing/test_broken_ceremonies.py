"""Changes of keys that die on the way, at every single write."""

from dataclasses import replace
from typing import Any

import pytest
from ceremonies import adding, begin, checked, finish, keyid, publishers, replacing, reread
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from builder.publishing import metadata
from builder.publishing.before import read_before
from builder.publishing.carrying_out import (
    change_keys,
)
from builder.publishing.ceremony import propose
from builder.publishing.ceremony_account import account_of, describe
from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange
from builder.publishing.pending import Pending, PendingError, StaleError
from bundle_store.port import StoreUnavailableError
from policy_core.errors import TrustError
from policy_core.trust.errors import MetadataError
from policy_core.trust.layout import metadata_name

World = Any  # of ../conftest.py


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

    def test_is_shown_for_what_it_is(self, cut_short: World) -> None:
        ceremony = propose(publishers(cut_short), read_before(publishers(cut_short)), lambda _: None)

        lines = list(describe(account_of(ceremony, cut_short.keys)))

        assert lines[1] == "completes  root 2, which a change that was cut short has left in the store"
        assert lines[2].startswith("keys       targets: adds ")

    def test_of_another_ceremony_is_not_overwritten(self, cut_short: World) -> None:
        before = read_before(publishers(cut_short))
        other = propose(
            publishers(cut_short), replace(before, begun_bytes=b""), adding("targets", cut_short.person("a").key)
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
