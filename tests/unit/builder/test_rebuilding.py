"""Releases built again from git: what a publisher's key can sign, and what its commit does not give."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from builder.compiling import bundle_of, compile_tree
from builder.ledger.commits import SourceMissingError
from builder.publishing.commit import Proposal, commit
from builder.publishing.provenance import PAYLOAD_TYPE, Gates, TestCounts, make_statement
from builder.publishing.rollback import NoSuchReleaseError
from builder.rebuilding import LIVE, RebuildError, find_asked, provenance_of, rebuild_release
from builder.source import PolicyRepository
from bundle_store.port import Store
from policy_core.bundle import Bundle, build_bundle
from policy_core.errors import TrustError, UsageError
from policy_core.trust.history import HistoryEntry
from policy_core.trust.layout import target_object
from policy_core.trust.release import Release

World = Any  # of conftest.py


def rebuild_asked(repository: PolicyRepository, store: Store, history: Sequence[HistoryEntry], which: str) -> Release:
    """Rebuild the release that `which` names, with its provenance checked."""
    release = find_asked(history, which)
    return rebuild_release(repository, store, release, provenance_of(store, release, lambda _: history))


@pytest.fixture
def world(world: World) -> World:
    """Releases 1 and 2."""
    world.publish()
    world.folder.commit_policy("second")
    world.publish()
    return world


def rebuilt(world: World, which: str = LIVE) -> Release:
    reader = world.publisher().reader
    history = list(reader.history(reader.read()))
    return rebuild_asked(PolicyRepository.open(world.folder.path), reader.store, history, which)


def honest(world: World) -> Bundle:
    """Return the bundle of HEAD."""
    tree = PolicyRepository.open(world.folder.path).tree("HEAD")
    return bundle_of(compile_tree(tree, today=None))[1]


def release_bundle(world: World, blob: bytes, bundle: Bundle, *, version: str = "") -> None:
    """Release a bundle as the holder of all online keys can, with provenance that fits it."""

    def propose(state: Any, _: object) -> Proposal:
        release = state.verified.release
        statement = make_statement(
            bundle, channel="prod", repository_url="", tests=TestCounts(9, 0), gates=Gates(release.release, ())
        )
        if version:
            statement = statement.replace(b'{"writ-policy":"', b'{"writ-policy":"' + version.encode() + b"+")
        provenance = publisher.seal(statement, PAYLOAD_TYPE, state)
        forged = replace(
            release,
            release=release.release + 1,
            revision=bundle.revision,
            sha256=bundle.sha256,
            length=len(blob),
            content_sha256=bundle.content_sha256,
            policy_sha256=bundle.policy_sha256,
            provenance_sha256=hashlib.sha256(provenance).hexdigest(),
        )
        return Proposal(forged, blob, provenance)

    publisher = world.publisher()
    commit(publisher, propose)


def forged_from(bundle: Bundle, **files: bytes) -> tuple[bytes, Bundle]:
    return build_bundle(
        name=bundle.name,
        revision=bundle.revision,
        dirty=False,
        files={**bundle.files, **{name.replace("__", "."): content for name, content in files.items()}},
        features=bundle.requires,
    )


@pytest.mark.parametrize(("which", "number"), [(LIVE, 2), ("2", 2), ("1", 1), ("01", 1)])
def test_what_was_published_is_what_its_commit_gives(world: World, which: str, number: int) -> None:
    assert rebuilt(world, which).release == number


def test_a_rollback_is_rebuilt_from_the_commit_it_goes_back_to(world: World) -> None:
    world.roll_back()

    assert rebuilt(world).release == 3


def test_what_lies_uncommitted_in_the_work_tree_does_not_matter(world: World) -> None:
    (world.folder.path / "policies/a.yaml").write_text("rules: nonsense\n")

    assert rebuilt(world).release == 2


class TestAPublishersKey:
    def test_signs_rules_that_its_commit_does_not_hold(self, world: World) -> None:
        bundle = honest(world)
        rules = bundle.files["matcher.jsonl"].replace(b'"deny"', b'"allow"').replace(b"service.read", b"service.*")
        release_bundle(world, *forged_from(bundle, matcher__jsonl=rules))
        assert world.seen().release.release == 3  # hosts take it: it is signed

        with pytest.raises(
            RebuildError, match=r"release 3 of prod: its commit .{12} gives .*; different: matcher"
        ) as e:
            rebuilt(world)

        assert e.value.exit_code == 5
        assert e.value.hint.startswith("the bundle holds what was never committed")

    def test_signs_the_right_content_digest_for_other_bytes(self, world: World) -> None:
        """Verifying the digest alone would pass: the bundle itself is what counts."""
        bundle = honest(world)
        blob, forged = forged_from(bundle, matcher__jsonl=bundle.files["matcher.jsonl"] + b"\n")
        lie = replace(world.seen().release, sha256=forged.sha256, length=len(blob), provenance_sha256="")
        world.store.put(target_object("prod", lie.name, lie.sha256), blob, if_etag=None)
        history = [HistoryEntry(release=lie, signed_at=world.now, keys=())]

        with pytest.raises(TrustError, match="the bundle is not the one it names"):
            rebuild_asked(PolicyRepository.open(world.folder.path), world.store, history, LIVE)

    def test_adds_a_file(self, world: World) -> None:
        release_bundle(world, *forged_from(honest(world), provisions__json=b"{}"))

        with pytest.raises(RebuildError, match=r"different: provisions\.json"):
            rebuilt(world)

    def test_names_another_commit(self, world: World) -> None:
        bundle = honest(world)
        first = world.folder.git("rev-parse", "HEAD~1")
        blob, forged = build_bundle(
            name=bundle.name, revision=first, dirty=False, files=bundle.files, features=bundle.requires
        )
        release_bundle(world, blob, forged)

        with pytest.raises(
            RebuildError, match=f"its commit {first[:12]} gives .*; different: matcher.jsonl, policies/a"
        ):
            rebuilt(world)

    def test_names_a_commit_that_cannot_be_built(self, world: World) -> None:
        broken = world.folder.commit({"policies/a.yaml": "version: v1\nrulez: []\n"})
        release_bundle(
            world, *build_bundle(name="demo-policies", revision=broken, dirty=False, files={"matcher.jsonl": b""})
        )

        with pytest.raises(RebuildError, match=f"its commit {broken[:12]} cannot be built") as caught:
            rebuilt(world)

        assert [problem.file for problem in caught.value.problems] == ["policies/a.yaml"] * len(caught.value.problems)

    def test_changes_only_what_the_bundle_demands_of_hosts(self, world: World) -> None:
        bundle = honest(world)
        release_bundle(
            world,
            *build_bundle(name=bundle.name, revision=bundle.revision, dirty=False, files=bundle.files, features=()),
        )

        with pytest.raises(RebuildError, match="different: the manifest"):
            rebuilt(world)


def test_a_builder_of_another_version_is_named_first(world: World) -> None:
    release_bundle(world, *forged_from(honest(world), provisions__json=b"{}"), version="0.0.1")

    with pytest.raises(RebuildError) as caught:
        rebuilt(world)

    assert "it was built by writ-policy 0.0.1+" in caught.value.hint
    assert "build with that version" in caught.value.hint


def test_where_no_provenance_names_the_version_others_are_to_be_tried(world: World) -> None:
    release_bundle(world, *forged_from(honest(world), provisions__json=b"{}"))
    history = [HistoryEntry(replace(world.seen().release, provenance_sha256=""), world.now, ())]

    with pytest.raises(RebuildError) as caught:
        rebuild_asked(PolicyRepository.open(world.folder.path), world.store, history, LIVE)

    assert caught.value.hint.startswith("it does not say which version built it")


def test_a_bundle_that_was_replaced_in_the_store_is_not_compared(world: World) -> None:
    release = world.seen().release
    (world.tmp_path / "store" / target_object("prod", release.name, release.sha256)).write_bytes(b"x")

    with pytest.raises(TrustError, match="release 2 of prod: "):
        rebuilt(world)


def test_a_commit_that_is_not_in_this_clone_is_to_be_fetched(world: World) -> None:
    clone = world.folder.clone(world.tmp_path / "clone")
    world.folder.commit_policy("third")
    world.publish()
    reader = world.publisher().reader

    with pytest.raises(SourceMissingError, match=r"release 3 of prod: its commit .{12} is not in this clone") as caught:
        rebuild_asked(PolicyRepository.open(clone.path), reader.store, list(reader.history(reader.read())), LIVE)

    assert "git fetch" in caught.value.hint


@pytest.mark.parametrize("which", ["", "latest", "-1", "1.0", "²", "9" * 5000])
def test_what_is_no_release_is_refused(world: World, which: str) -> None:
    with pytest.raises(UsageError, match=r"--rebuild .*: is no release"):
        rebuilt(world, which)


@pytest.mark.parametrize("which", ["0", "3"])
def test_a_release_that_never_was_is_refused(world: World, which: str) -> None:
    with pytest.raises(NoSuchReleaseError, match=rf"no release {which} \(the live one is 2\)"):
        rebuilt(world, which)


def test_an_empty_channel_has_nothing_to_rebuild(world_of: Callable[..., World], file_url: str) -> None:
    with pytest.raises(NoSuchReleaseError, match="nothing was ever released"):
        rebuilt(world_of(file_url))
