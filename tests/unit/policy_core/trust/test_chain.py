import dataclasses
import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata

from builder.publishing import metadata
from policy_core.trust.chain import MetadataChain, verify_chain
from policy_core.trust.errors import MetadataError

Signing = Any  # of conftest.py
NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def verify(signing: Signing, chain: MetadataChain, *, root: bytes | None = None, channel: str = "prod") -> Any:
    return verify_chain(chain, trusted_root=root or signing.root(), channel=channel)


def test_a_whole_chain_says_what_is_live(signing: Signing, release_of: Any) -> None:
    release = release_of(7)

    verified = verify(signing, signing.chain(release))

    assert verified.release == release
    assert verified.signed_at == NOW
    assert verified.versions == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1, "prod": 1}
    assert verified.expires["timestamp"] == NOW + datetime.timedelta(days=30)


def test_a_channel_without_a_release_is_valid(signing: Signing) -> None:
    assert verify(signing, signing.chain(None)).release is None


def test_expiry_is_reported_and_not_enforced(signing: Signing) -> None:
    """Long after everything has expired, a saved chain still proves what was authorised."""
    assert verify(signing, signing.chain()).expires["root"] < datetime.datetime.max.replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize("part", ["timestamp", "snapshot", "targets", "channel"])
def test_a_part_signed_by_a_foreign_key_is_refused(signing: Signing, release_of: Any, part: str) -> None:
    role = "prod" if part == "channel" else part
    good = signing.chain(release_of())
    forged = signing.sign(role, Metadata.from_bytes(getattr(good, part)).signed, by=("foreign",))
    chain = signing.chain(release_of(), **{role: forged}) if part in {"targets", "channel"} else good

    with pytest.raises(MetadataError, match=rf"^{role}: "):
        verify(signing, dataclasses.replace(chain, **{part: forged}))


@pytest.mark.parametrize("part", ["snapshot", "targets", "channel"])
def test_parts_of_two_states_do_not_mix(signing: Signing, release_of: Any, part: str) -> None:
    one = signing.chain(release_of(1))
    other = signing.after(one, release_of(2), minutes=1)
    if part == "targets":
        longer = metadata.first_targets(2, {"prod": signing.key("prod").public_key}, NOW)
        other = dataclasses.replace(other, targets=signing.sign("targets", longer))

    with pytest.raises(MetadataError):
        verify(signing, dataclasses.replace(one, **{part: getattr(other, part)}))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_no_altered_byte_goes_unnoticed(signing: Signing, release_of: Any, data: st.DataObject) -> None:
    chain = signing.chain(release_of())
    part = data.draw(st.sampled_from(["snapshot", "targets", "channel"]))
    content = bytearray(getattr(chain, part))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(MetadataError):
        verify(signing, dataclasses.replace(chain, **{part: bytes(content)}))


@pytest.mark.parametrize("part", ["timestamp", "snapshot", "targets", "channel"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"signed":{"_type":"mirror"}}', b"[" * 5000])
def test_what_is_no_metadata_is_refused(signing: Signing, part: str, content: bytes) -> None:
    with pytest.raises(MetadataError):
        verify(signing, dataclasses.replace(signing.chain(), **{part: content}))


@pytest.mark.parametrize("part", ["timestamp", "snapshot", "targets", "channel"])
def test_metadata_of_another_role_is_refused(signing: Signing, part: str) -> None:
    chain = signing.chain()
    other = chain.snapshot if part == "timestamp" else chain.timestamp

    with pytest.raises(MetadataError):
        verify(signing, dataclasses.replace(chain, **{part: other}))


def test_an_overlong_timestamp_is_not_even_parsed(signing: Signing) -> None:
    with pytest.raises(MetadataError, match=r"timestamp: 20000 bytes \(limit 16384\)"):
        verify(signing, dataclasses.replace(signing.chain(), timestamp=b" " * 20_000))


def test_a_pin_without_digest_is_refused(signing: Signing) -> None:
    chain = signing.chain()
    pin = metadata.pin_of(1, chain.snapshot)
    pin.hashes = None
    stamp = signing.sign("timestamp", metadata.timestamp(1, pin, NOW))

    with pytest.raises(MetadataError, match="snapshot: pinned without length or sha256"):
        verify(signing, dataclasses.replace(chain, timestamp=stamp))


def test_a_timestamp_without_signed_time_is_refused(signing: Signing) -> None:
    chain = signing.chain()
    stamp = metadata.timestamp(1, metadata.pin_of(1, chain.snapshot), NOW)
    stamp.unrecognized_fields.clear()

    with pytest.raises(MetadataError, match="signed time None"):
        verify(signing, dataclasses.replace(chain, timestamp=signing.sign("timestamp", stamp)))


def test_a_channel_nobody_delegated_is_refused(signing: Signing) -> None:
    with pytest.raises(MetadataError):
        verify(signing, signing.chain(), channel="staging")


def test_two_targets_in_a_channel_are_refused(signing: Signing, release_of: Any) -> None:
    role = metadata.channel_role(1, release_of(), None, NOW)
    other = release_of(2, name="other")
    role.targets[other.path] = other.target()

    with pytest.raises(MetadataError, match="lists 2 targets"):
        verify(signing, signing.chain(prod=signing.sign("prod", role)))


class TestRoots:
    def rotated(self, signing: Signing, *, version: int = 2, by: tuple[str, ...] = ("root", "root2")) -> bytes:
        """Sign a root whose root key is another one; it needs the old key and the new one."""
        root = Metadata.from_bytes(signing.root()).signed
        root.revoke_key(signing.key("root").public_key.keyid, "root")
        root.add_key(signing.key("root2").public_key, "root")
        root.version = version
        data: bytes = signing.sign("root", root, by=by)
        return data

    def test_a_rotated_root_is_followed(self, signing: Signing) -> None:
        first = signing.root()
        chain = dataclasses.replace(signing.chain(), roots=(self.rotated(signing),))

        assert verify(signing, chain, root=first).versions["root"] == 2

    @pytest.mark.parametrize("by", [("root2",), ("root",), ("foreign",)])
    def test_a_root_without_both_thresholds_is_refused(self, signing: Signing, by: tuple[str, ...]) -> None:
        first = signing.root()
        chain = dataclasses.replace(signing.chain(), roots=(self.rotated(signing, by=by),))

        with pytest.raises(MetadataError, match="root: root was signed by 0/1 keys"):
            verify(signing, chain, root=first)

    def test_a_skipped_root_is_refused(self, signing: Signing) -> None:
        first = signing.root()
        chain = dataclasses.replace(signing.chain(), roots=(self.rotated(signing, version=3),))

        with pytest.raises(MetadataError, match=r"root: version 3 \(expected 2\)"):
            verify(signing, chain, root=first)

    def test_a_newer_trust_root_than_the_chain_began_with_is_enough(self, signing: Signing) -> None:
        second = self.rotated(signing)
        chain = dataclasses.replace(signing.chain(), roots=(second,))

        assert verify(signing, chain, root=second).versions["root"] == 2

    def test_keys_of_a_revoked_role_do_nothing(self, signing: Signing) -> None:
        first = signing.root()
        chain = signing.chain()
        root = Metadata.from_bytes(first).signed
        root.revoke_key(signing.key("timestamp").public_key.keyid, "timestamp")
        root.add_key(signing.key("new timestamp").public_key, "timestamp")
        root.version = 2
        chain = dataclasses.replace(chain, roots=(signing.sign("root", root),))

        with pytest.raises(MetadataError, match="timestamp: timestamp was signed by 0/1 keys"):
            verify(signing, chain, root=first)
