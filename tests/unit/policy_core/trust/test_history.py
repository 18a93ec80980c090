import dataclasses
from typing import Any

import pytest

from policy_core.trust.chain import MetadataChain
from policy_core.trust.errors import MetadataError
from policy_core.trust.history import channel_history, check_numbers, walk_history
from policy_core.trust.layout import PREVIOUS, SIGNED_AT

Signing = Any  # of conftest.py


def releases(signing: Signing, chain: MetadataChain, channel: str = "prod") -> list[tuple[int, int]]:
    """Return number and minute of each release, newest first; 0 is the beginning."""
    entries = channel_history(chain, trusted_root=signing.root(), channel=channel, fetch=signing.files.__getitem__)
    return [(entry.release.release if entry.release else 0, entry.signed_at.minute) for entry in entries]


@pytest.fixture
def chain(signing: Signing, release_of: Any) -> MetadataChain:
    """Releases 1 and 2, at minutes 10 and 20."""
    first: MetadataChain = signing.after(signing.chain(), release_of(1), minutes=10)
    second: MetadataChain = signing.after(first, release_of(2), minutes=20)
    return second


def test_releases_come_newest_first_with_their_times(signing: Signing, chain: MetadataChain) -> None:
    assert releases(signing, chain) == [(2, 20), (1, 10), (0, 0)]


def test_a_renewal_is_no_release(signing: Signing, chain: MetadataChain, release_of: Any) -> None:
    renewed = signing.after(chain, release_of(2), minutes=30)

    assert releases(signing, renewed) == [(2, 20), (1, 10), (0, 0)]


def test_history_is_fetched_only_as_far_as_it_is_read(signing: Signing, chain: MetadataChain) -> None:
    fetched: list[str] = []

    def fetch(name: str) -> bytes:
        fetched.append(name)
        content: bytes = signing.files[name]
        return content

    next(channel_history(chain, trusted_root=signing.root(), channel="prod", fetch=fetch))

    assert fetched == [
        "metadata/1.targets.json",
        "metadata/3.prod.json",
        "metadata/2.snapshot.json",
        "metadata/2.prod.json",
    ]


def test_orphans_are_not_part_of_it(signing: Signing, chain: MetadataChain, release_of: Any) -> None:
    """Another publisher wrote snapshot 4 and lost; ours is 5, on top of 3."""
    orphan = signing.after(chain, release_of(3, actor="Bob"), minutes=30)
    assert orphan.snapshot == signing.files["metadata/4.snapshot.json"]

    versions = [state.snapshot.version for state in walk_history(chain.snapshot, signing.files.__getitem__)]

    assert versions == [3, 2, 1]


@pytest.mark.parametrize(
    "previous", [None, {}, [], "x", {"version": 3, "sha256": "0" * 64}, {"version": 0, "sha256": ""}, {"version": True}]
)
def test_a_bad_link_is_refused(signing: Signing, chain: MetadataChain, release_of: Any, previous: object) -> None:
    broken = signing.after(chain, release_of(3), minutes=30, **{PREVIOUS: previous})

    with pytest.raises(MetadataError):
        releases(signing, broken)


def test_a_link_to_the_future_is_refused(signing: Signing, chain: MetadataChain, release_of: Any) -> None:
    broken = signing.after(chain, release_of(3), minutes=30, **{PREVIOUS: {"version": 9, "sha256": "0" * 64}})

    with pytest.raises(MetadataError, match="bad x-previous"):
        releases(signing, broken)


def test_an_altered_predecessor_is_refused(signing: Signing, chain: MetadataChain) -> None:
    signing.files["metadata/2.snapshot.json"] = signing.files["metadata/1.snapshot.json"]

    with pytest.raises(MetadataError, match="snapshot 2 is not the one its successor names"):
        releases(signing, chain)


def test_time_does_not_run_backwards(signing: Signing, chain: MetadataChain, release_of: Any) -> None:
    earlier = signing.after(chain, release_of(3), minutes=15)

    with pytest.raises(MetadataError, match="snapshot 4 was signed before its predecessor"):
        releases(signing, earlier)


@pytest.mark.parametrize("number", [1, 2])
def test_numbers_that_do_not_rise_are_refused(
    signing: Signing, chain: MetadataChain, release_of: Any, number: int
) -> None:
    wrong = signing.after(chain, release_of(number, actor="Bob"), minutes=30)

    with pytest.raises(MetadataError, match=r"follows 2 \(expected 3\)"):
        releases(signing, wrong)


@pytest.mark.parametrize("number", [4, 40])
def test_a_gap_in_the_numbers_can_be_read_and_is_what_an_auditor_refuses(
    signing: Signing, chain: MetadataChain, release_of: Any, number: int
) -> None:
    leaping = signing.after(chain, release_of(number, actor="Bob"), minutes=30)
    found = list(channel_history(leaping, trusted_root=signing.root(), channel="prod", fetch=signing.files.__getitem__))

    assert [entry.release.release for entry in found if entry.release] == [number, 2, 1]
    with pytest.raises(MetadataError, match=rf"release {number} follows 2 \(expected 3\)"):
        check_numbers(found, "prod")
    check_numbers(found[1:], "prod")


def test_a_channel_cannot_be_emptied(signing: Signing, chain: MetadataChain) -> None:
    with pytest.raises(MetadataError, match="release none follows 2"):
        releases(signing, signing.after(chain, None, minutes=30))


def test_a_history_that_begins_with_a_release_is_refused(signing: Signing, release_of: Any) -> None:
    """Somebody has cut off what came before."""
    with pytest.raises(MetadataError, match="begins with release 1"):
        releases(signing, signing.chain(release_of(1)))


def test_an_unknown_channel_has_no_history(signing: Signing, chain: MetadataChain) -> None:
    with pytest.raises(MetadataError, match="does not list it"):
        releases(signing, chain, channel="staging")


def test_a_snapshot_without_signed_time_is_refused(signing: Signing, chain: MetadataChain, release_of: Any) -> None:
    with pytest.raises(MetadataError, match="signed time"):
        releases(signing, signing.after(chain, release_of(3), minutes=30, **{SIGNED_AT: "noon"}))


def test_a_past_role_signed_by_a_foreign_key_is_refused(signing: Signing, chain: MetadataChain) -> None:
    targets = signing.files.pop("metadata/1.targets.json")
    signing.signers["targets"] = type(signing.key("root")).generate_ed25519()  # root now says another key
    signing.files["metadata/1.targets.json"] = targets

    with pytest.raises(MetadataError, match="targets 1 is signed by no root's keys"):
        releases(signing, dataclasses.replace(chain))
