"""What a publish says about its bundle, and attacks on that by those who hold the store, or the key of a channel."""

import base64
import datetime
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from builder.publishing import metadata
from builder.publishing.commit import Proposal, commit
from builder.publishing.keys import KeyRing
from builder.publishing.provenance import PAYLOAD_TYPE, Provenance, ProvenanceError, public_url
from builder.publishing.refresh import refresh
from builder.publishing.writing import swap_timestamp
from builder.rebuilding import provenance_of
from policy_core import __version__
from policy_core.errors import TrustError
from policy_core.trust.layout import MAX_PROVENANCE_BYTES, metadata_name, provenance_object
from policy_core.trust.release import Release

World = Any  # of ../conftest.py
GATES = "gates: {coverage: {rules: 100}}\n"
TESTS = """\
cases:
  - {name: reading, request: {job: {topic: service.read}}, expect: {decision: allow}}
  - {name: writing, request: {job: {topic: service.write}}, expect: {decision: deny}}
  - {name: later, skip: not decided yet, request: {job: {topic: x}}, expect: {decision: deny}}
"""


@pytest.fixture
def world(world_of: Any, file_url: str) -> World:
    """A world with releases 1 and 2 in prod."""
    world = world_of(file_url, channels=("staging", "prod"))
    world.publish()
    world.folder.commit_policy("second")
    world.publish()
    return world


def live(world: World, channel: str = "prod") -> Release:
    release: Release = world.seen(channel).release
    return release


def stored(world: World, release: Release) -> bytes:
    name = provenance_object(release.channel, release.name, release.provenance_sha256)
    body: bytes = world.store.get(name, max_bytes=MAX_PROVENANCE_BYTES).body
    return body


def envelope_of(data: bytes) -> Envelope:
    return Envelope.from_dict(json.loads(data))


def statement_of(world: World, channel: str = "prod") -> Any:
    return json.loads(envelope_of(stored(world, live(world, channel))).payload)


def verified(world: World) -> Provenance | None:
    """Return the provenance of the live release as ``writ verify`` does."""
    reader = world.publisher().reader
    state = reader.read()
    return provenance_of(reader.store, state.verified.release, lambda _: list(reader.history(state)))


class TestAStatement:
    def test_says_what_was_built_from_what_by_whom_and_what_was_checked(self, world: World) -> None:
        release = live(world)

        source = {"digest": {"gitCommit": release.revision}}
        assert statement_of(world) == {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "prod/demo-policies.tar.gz", "digest": {"sha256": release.sha256}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:writ:build:v1",
                    "externalParameters": {"channel": "prod", "source": source},
                    "resolvedDependencies": [source],
                },
                "runDetails": {
                    "builder": {"id": "urn:writ:builder", "version": {"writ-policy": __version__}},
                    "byproducts": [
                        {"name": "content", "digest": {"sha256": release.content_sha256}},
                        {"name": "policy", "digest": {"sha256": release.policy_sha256}},
                        {"name": "tests", "uri": "urn:writ:tests", "annotations": {"passed": 0, "skipped": 0}},
                        {
                            "name": "gates",
                            "uri": "urn:writ:gates",
                            "annotations": {"of_release": 1, "passed": ["governance"]},
                        },
                    ],
                },
            },
        }

    def test_is_verified_with_the_key_of_the_channel_alone(self, world: World) -> None:
        envelope = envelope_of(stored(world, live(world)))

        key = world.keys.public_key("prod")
        assert envelope.payload_type == PAYLOAD_TYPE
        assert list(envelope.verify([key], 1)) == [key.keyid]

    def test_is_verified_by_whoever_knows_dsse_and_no_library_of_ours(self, world: World) -> None:
        found = json.loads(stored(world, live(world)))
        payload = base64.b64decode(found["payload"])
        signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
        key = load_pem_private_key(world.keys.path("prod").read_bytes(), password=None).public_key()

        (signature,) = found["signatures"]
        key.verify(base64.b64decode(signature["sig"]), signed)  # raises InvalidSignature

    def test_counts_tests_and_names_the_gates_of_what_was_live(self, world: World) -> None:
        head = world.folder.git("show", "HEAD:writ.yaml") + "\n"
        world.folder.commit({"writ.yaml": head + GATES, "tests/a.yaml": TESTS})
        world.folder.commit_policy("third")
        world.publish()
        world.folder.commit_policy("fourth")
        world.publish()

        found = verified(world)

        assert found is not None
        assert (found.tests.passed, found.tests.skipped) == (2, 1)
        assert (found.gates.of_release, found.gates.passed) == (3, ("governance", "coverage"))

    def test_of_a_first_release_names_no_gate(self, world_of: Any, file_url: str) -> None:
        world = world_of(file_url)
        world.publish()

        found = verified(world)

        assert found is not None
        assert (found.gates.of_release, found.gates.passed) == (0, ())

    def test_names_the_origin_without_its_password(self, world: World) -> None:
        world.folder.git("remote", "add", "origin", "https://ada:secret@git.example.com/acme/policies.git")
        world.folder.commit_policy("third")
        world.publish()

        found = verified(world)

        assert found is not None
        assert found.source == "git+https://git.example.com/acme/policies.git"
        assert b"secret" not in envelope_of(stored(world, live(world))).payload

    def test_holds_no_time(self, world: World) -> None:
        """One commit, published first to two channels hours apart: only the name of the channel differs."""
        for channel in ("staging", "prod"):
            world.now += datetime.timedelta(hours=5)
            world.folder.commit_policy(f"for {channel}")
        world.publish(channel="staging")
        before = statement_of(world, "staging")
        world.now += datetime.timedelta(hours=5)
        world.publish()
        after = statement_of(world)

        gates = after["predicate"]["runDetails"]["byproducts"].pop()
        before["predicate"]["runDetails"]["byproducts"].pop()
        assert gates["annotations"]["of_release"] == 2
        assert json.dumps(after).replace('"prod', '"staging') == json.dumps(before)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://git.example.com/acme/policies.git", "git+https://git.example.com/acme/policies.git"),
        ("https://ada:secret@git.example.com:8443/p?token=x#y", "git+https://git.example.com:8443/p"),
        ("git@git.example.com:acme/policies.git", "git+ssh://git.example.com/acme/policies.git"),
        ("git.example.com:acme/policies.git", "git+ssh://git.example.com/acme/policies.git"),
        ("ssh://git@[2001:db8::1]:22/policies.git", "git+ssh://[2001:db8::1]:22/policies.git"),
        ("/srv/git/policies.git", ""),
        ("../policies.git", ""),
        ("C:\\policies", ""),
        ("file:///srv/git/policies.git", ""),
        ("https://git.example.com:port/p", ""),
        ("https://git.example.com/\x1b[2J", ""),
        ("https://[", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_remote(url: str, found: str) -> None:
    assert public_url(url) == found


class TestBesideTheBundle:
    def test_it_has_the_name_of_its_own_digest(self, world: World) -> None:
        release = live(world)

        assert hashlib.sha256(stored(world, release)).hexdigest() == release.provenance_sha256

    def test_a_rollback_carries_on_that_of_what_it_goes_back_to(self, world: World) -> None:
        second = live(world)
        world.folder.commit_policy("third")
        world.publish()

        world.roll_back()

        found = verified(world)
        assert found is not None
        assert found.sha256 == second.provenance_sha256
        assert found.revision == second.revision

    def test_a_renewal_keeps_it(self, world: World) -> None:
        before = live(world)
        world.now += datetime.timedelta(days=150)

        assert refresh([world.publisher()]).renewed == ("prod", "snapshot")

        state = world.publisher().reader.read()
        assert state.verified.release == before

    def test_a_release_that_was_made_without_has_none(self, world: World) -> None:
        release_as(world, b"")

        assert verified(world) is None

    def test_a_signer_that_never_signs_alike_writes_one_for_all_attempts(self, world: World, recording: Any) -> None:
        class Salting(KeyRing):
            salt = iter(range(1, 9))

            def seal(self, *arguments: Any) -> bytes:
                return KeyRing.seal(self, *arguments) + b" " * next(Salting.salt)

        class Raced(recording):  # type: ignore[misc]
            def before(self, call: str) -> None:
                super().before(call)
                if call == "put metadata/timestamp.json" and self.calls.count(call) == 1:
                    refresh([world.publisher()])

        world.folder.commit_policy("third")
        store = Raced(world.store)
        world.keys = Salting(world.keys.directory, world.keys.environment)

        world.publish(store=store)

        puts = [call for call in store.calls if call.startswith("put") and "provenance" in call]
        assert len(puts) == 2
        assert len(set(puts)) == 1

    def test_a_new_key_of_the_channel_does_not_invalidate_old_ones(self, world: World) -> None:
        give_channel_a_new_key(world)
        assert live(world).release == 2

        found = verified(world)

        assert found is not None
        assert found.key != world.keys.public_key("prod").keyid


class TestWriteAccessToTheStore:
    """The release names the digest, so whatever lies under that name must have it."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data.replace(b'"keyid":"', b'"keyid":"0'),
            lambda data: sealed_anew(data, lambda statement: statement.update(subject=[])),
            lambda data: json.dumps(json.loads(data) | {"signatures": []}).encode(),
            lambda data: foreign(data),  # noqa: PLW0108  it is defined below
            lambda _: b"",
        ],
        ids=["another key id", "another statement", "stripped signature", "foreign key", "nothing"],
    )
    def test_any_change_is_found(self, world: World, change: Callable[[bytes], bytes]) -> None:
        overwrite(world, change(stored(world, live(world))))

        with pytest.raises(ProvenanceError, match="release 2 of prod: content does not have the signed digest"):
            verified(world)

    def test_that_of_another_release_is_found(self, world: World) -> None:
        world.folder.commit_policy("third")
        second = stored(world, live(world))
        world.publish()
        overwrite(world, second)

        with pytest.raises(ProvenanceError, match="content does not have the signed digest"):
            verified(world)

    def test_a_missing_one_is_found(self, world: World) -> None:
        path(world).unlink()

        with pytest.raises(ProvenanceError, match=r"\.demo-policies\.provenance\.json is not in the store"):
            verified(world)

    def test_an_oversized_one_is_not_read(self, world: World) -> None:
        overwrite(world, b" " * (MAX_PROVENANCE_BYTES + 1))

        with pytest.raises(TrustError, match="longer than"):
            verified(world)

    def test_a_name_that_is_taken_stops_the_publish(self, world: World, recording: Any) -> None:
        class Poisoned(recording):  # type: ignore[misc]
            def before(self, call: str) -> None:
                if call.startswith("put") and call.endswith("provenance.json"):
                    self.store.put(call.removeprefix("put "), b"poison", if_etag=None)

        world.folder.commit_policy("third")

        with pytest.raises(TrustError, match=r"provenance\.json does not hold what its name says"):
            world.publish(store=Poisoned(world.store))
        assert live(world).release == 2


class TestTheKeyOfTheChannel:
    """Its holder can release anything, with any digest: what is under it must be provenance of that very release."""

    def test_the_provenance_of_another_release_is_refused(self, world: World) -> None:
        second = stored(world, live(world))
        world.folder.commit_policy("third")
        world.publish()
        release_as(world, second)

        with pytest.raises(ProvenanceError, match=r"is that of another one \(bundle, revision, content, policy\)"):
            verified(world)

    def test_a_foreign_key_is_refused(self, world: World) -> None:
        release_as(world, foreign(stored(world, live(world))))

        with pytest.raises(ProvenanceError, match="release 3 of prod: is not signed by a key of the channel"):
            verified(world)

    def test_the_key_of_another_channel_is_refused(self, world: World) -> None:
        payload = envelope_of(stored(world, live(world))).payload
        release_as(world, world.keys.seal("staging", payload, PAYLOAD_TYPE, [world.keys.public_key("staging")]))

        with pytest.raises(ProvenanceError, match="is not signed by a key of the channel"):
            verified(world)

    @pytest.mark.parametrize(
        "change",
        [
            lambda found: found.update(signatures=[]),
            lambda found: found["signatures"][0].update(sig="AAAA"),
            lambda found: found["signatures"][0].update(sig=""),
            lambda found: found.update(payload="e30="),
        ],
        ids=["stripped", "garbage", "empty", "over something else"],
    )
    def test_a_signature_that_does_not_hold_is_refused(self, world: World, change: Callable[[Any], None]) -> None:
        found = json.loads(stored(world, live(world)))
        change(found)
        release_as(world, json.dumps(found).encode())

        with pytest.raises(ProvenanceError, match="is not signed by a key of the channel"):
            verified(world)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda it: it.update(_type="x"), "is a statement of another kind"),
            (lambda it: it.update(predicateType="https://slsa.dev/provenance/v2"), "is a statement of another kind"),
            (lambda it: definition(it).update(buildType="x"), "is a statement of another kind"),
            (lambda it: it["subject"].append(it["subject"][0]), r"is that of another one \(bundle\)"),
            (lambda it: it.update(subject=[]), r"is that of another one \(bundle\)"),
            (lambda it: definition(it)["externalParameters"].update(channel="staging"), r"another one \(channel\)"),
            (lambda it: definition(it)["externalParameters"].update(source={}), r"another one \(revision\)"),
            (lambda it: run(it)["byproducts"].append(run(it)["byproducts"][0]), r"another one \(content\)"),
            (lambda it: run(it)["byproducts"].pop(), "is no provenance"),
            (lambda it: run(it)["byproducts"].pop(2), "is no provenance"),
            (lambda it: run(it)["builder"].update(id="\x1b[2J"), "holds a text that is not plain ASCII"),
            (lambda it: run(it)["builder"]["version"].update({"writ-policy": "\n"}), "holds a text that is not plain"),
            (lambda it: it.pop("predicate"), "is no provenance"),
        ],
    )  # fmt: skip
    def test_a_statement_that_is_not_about_the_release_is_refused(
        self, world: World, change: Callable[[Any], None], why: str
    ) -> None:
        statement = statement_of(world)
        change(statement)
        release_as(world, seal(world, json.dumps(statement).encode()))

        with pytest.raises(ProvenanceError, match=why):
            verified(world)

    @pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff", b"[" * 30_000], ids=repr)
    def test_a_payload_that_is_no_statement_is_refused(self, world: World, payload: bytes) -> None:
        release_as(world, seal(world, payload))

        with pytest.raises(ProvenanceError, match="is no provenance"):
            verified(world)

    @pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"payload":"%","payloadType":"","signatures":[]}'])
    def test_a_file_that_is_no_envelope_is_refused(self, world: World, data: bytes) -> None:
        release_as(world, data)

        with pytest.raises(ProvenanceError, match="is no provenance"):
            verified(world)

    def test_another_kind_of_payload_is_refused(self, world: World) -> None:
        payload = envelope_of(stored(world, live(world))).payload
        release_as(world, world.keys.seal("prod", payload, "text/plain\x1b", [world.keys.public_key("prod")]))

        with pytest.raises(ProvenanceError, match=r"is 'text/plain\\x1b' \(expected application/vnd\.in-toto\+json\)"):
            verified(world)


def definition(statement: Any) -> Any:
    return statement["predicate"]["buildDefinition"]


def run(statement: Any) -> Any:
    return statement["predicate"]["runDetails"]


def seal(world: World, payload: bytes) -> bytes:
    data: bytes = world.keys.seal("prod", payload, PAYLOAD_TYPE, [world.keys.public_key("prod")])
    return data


def foreign(data: bytes) -> bytes:
    """Return the same statement signed by a key nobody knows."""
    envelope = Envelope(envelope_of(data).payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner.generate_ed25519())
    return json.dumps(envelope.to_dict()).encode()


def sealed_anew(data: bytes, change: Callable[[Any], None]) -> bytes:
    """Return another statement under the old signature."""
    envelope = envelope_of(data)
    statement = json.loads(envelope.payload)
    change(statement)
    envelope.payload = json.dumps(statement).encode()
    return json.dumps(envelope.to_dict()).encode()


def path(world: World) -> Any:
    release = live(world)
    folder = world.tmp_path / "store"
    return folder / provenance_object(release.channel, release.name, release.provenance_sha256)


def overwrite(world: World, data: bytes) -> None:
    path(world).write_bytes(data)


def release_as(world: World, provenance: bytes) -> None:
    """Release the live bundle once more, with the stolen key, and with this provenance (empty: with none)."""

    def propose(state: Any, _: object) -> Proposal:
        release = state.verified.release
        sha256 = hashlib.sha256(provenance).hexdigest() if provenance else ""
        again = replace(release, release=release.release + 1, provenance_sha256=sha256)
        return Proposal(again, provenance=provenance or None)

    commit(world.publisher(), propose)


def give_channel_a_new_key(world: World) -> None:
    """Delegate prod to another key, with the targets key, and sign its role with it."""
    reader = world.publisher().reader
    state = reader.read()
    signer = CryptoSigner.generate_ed25519()
    staging = world.keys.public_key("staging")
    version = state.targets.version + 1
    targets = metadata.first_targets(version, {"staging": staging, "prod": signer.public_key}, world.now)
    world.keys.path("prod").write_bytes(signer.private_bytes)
    role = metadata.channel_role(state.verified.versions["prod"] + 1, state.verified.release, None, world.now)
    signed = {
        "targets": world.keys.sign("targets", targets, [world.keys.public_key("targets")]),
        "prod": world.keys.sign("prod", role, [signer.public_key]),
    }
    pins = {
        name: metadata.pin_of({"targets": targets, "prod": role}[name].version, data) for name, data in signed.items()
    }
    for name, data in signed.items():
        world.store.put(metadata_name(name, pins[name].version), data, if_etag=None)
    snapshot = metadata.next_snapshot(state.snapshot.version + 1, state.snapshot, state.chain.snapshot, pins, world.now)
    data = world.keys.sign("snapshot", snapshot, [world.keys.public_key("snapshot")])
    world.store.put(metadata_name("snapshot", snapshot.version), data, if_etag=None)
    stamp = metadata.timestamp(state.timestamp.version + 1, metadata.pin_of(snapshot.version, data), world.now)
    stamped = world.keys.sign("timestamp", stamp, [world.keys.public_key("timestamp")])
    swap_timestamp(world.store, stamped, etag=state.etag)
