"""A bundle is what its manifest says, names what it needs, and has three digests that mean three things."""

import hashlib

import msgspec
import pytest

from policy_core.bundle import ArchiveError, BundleError, build_bundle, read_bundle
from policy_core.bundle.archive import compress, decompress, read_tar, write_tar
from policy_core.matcher import encode_rules

FILES = {"matcher.jsonl": encode_rules([]), "policies/a.yaml": b"version: v1\nrules: []\n", "data.json": b'{"a": 1}'}


def _bundle(revision="r1", files=FILES):
    return build_bundle(name="demo", revision=revision, dirty=False, files=files)


def _altered(change):
    files = read_tar(decompress(_bundle()[0]))
    manifest = msgspec.json.decode(files["manifest.json"])
    change(files, manifest)
    return compress(write_tar({**files, "manifest.json": msgspec.json.encode(manifest)}))


def test_reading_inverts_building():
    blob, built = _bundle()

    assert read_bundle(blob) == built
    assert built.provisions.data == {"a": 1}


def test_the_same_input_gives_the_same_bytes():
    assert _bundle()[0] == _bundle(files=dict(reversed(FILES.items())))[0]


def test_the_digests_tell_file_content_and_policy_apart():
    blob, first = _bundle("r1")
    _, second = _bundle("r2")

    assert first.sha256 == hashlib.sha256(blob).hexdigest()
    assert first.content_sha256 == hashlib.sha256(decompress(blob)).hexdigest()
    assert first.policy_sha256 == second.policy_sha256
    assert first.content_sha256 != second.content_sha256


def test_a_missing_feature_is_refused_by_name():
    def needs_more(_, manifest):
        manifest["requires"] = ["rules.v1", "quantum.v9"]

    with pytest.raises(BundleError, match=r"requires quantum\.v9, which this version lacks"):
        read_bundle(_altered(needs_more))


def test_an_unknown_format_is_refused():
    with pytest.raises(BundleError, match="unknown format"):
        read_bundle(_altered(lambda _, manifest: manifest.update(format=2)))


@pytest.mark.parametrize(
    "change",
    [
        lambda files, _: files.update({"policies/a.yaml": b"altered"}),
        lambda files, _: files.update({"policies/extra.yaml": b""}),
        lambda files, _: files.pop("policies/a.yaml"),
        lambda _, manifest: manifest["entries"].reverse(),
        lambda _, manifest: manifest["entries"][0].update(length=7),
    ],
    ids=["altered", "extra", "missing", "reordered", "wrong length"],
)
def test_files_that_do_not_match_the_manifest_are_refused(change):
    with pytest.raises(BundleError, match="do not match"):
        read_bundle(_altered(change))


def test_an_unknown_manifest_field_is_refused():
    with pytest.raises(BundleError, match="manifest"):
        read_bundle(_altered(lambda _, manifest: manifest.update(surprise=True)))


def test_a_bundle_without_manifest_or_matcher_is_refused():
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        read_bundle(compress(write_tar({"a": b""})))
    with pytest.raises(BundleError, match=r"matcher\.jsonl is missing"):
        read_bundle(_bundle(files={"data.json": b"{}"})[0])


@pytest.mark.parametrize("content", [b"[1]", b"{", b'{"a": "\xff"}', b'{"a":' * 100_000])
def test_hostile_json_inside_a_bundle_is_refused_cleanly(content):
    bundle = _bundle(files={**FILES, "data.json": content})[1]

    with pytest.raises(BundleError, match=r"data\.json"):
        _ = bundle.provisions
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_bundle(compress(write_tar({**FILES, "manifest.json": content})))


def test_an_oversize_blob_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr("policy_core.bundle.archive.MAX_BUNDLE_BYTES", 10)

    with pytest.raises(ArchiveError, match="too large"):
        read_bundle(_bundle()[0])
