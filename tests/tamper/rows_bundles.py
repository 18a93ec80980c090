"""Bundles that a publisher's keys have signed, and that still are no policy."""

import zlib
from collections.abc import Callable
from dataclasses import replace

import msgspec
from tamper.attacking import Attack, Attacker, collector, refused
from tamper.rows_channel import PUBLISHER

from policy_core.bundle import archive, build_bundle
from policy_core.matcher import encode_rules
from policy_core.selftest import SelfTestCase, encode_cases

ROWS: list[Attack] = []
attack = collector(ROWS)

READ_STRICTLY = "a bundle is read as hostile input, signed or not, and never unpacked to disk"


def signed_bundle(attacker: Attacker, blob: bytes) -> None:
    """Release these very bytes, with all that is signed about them true as far as it can be."""
    about = {}
    if (tar := unpacked(blob)) is not None:
        about["content_sha256"] = attacker.digest(tar)
    attacker.release_forged(attacker.forge(blob=blob, **about))


def unpacked(blob: bytes) -> bytes | None:
    try:
        return archive.decompress(blob)
    except archive.ArchiveError:
        return None


def honest_tar(attacker: Attacker) -> bytes:
    release = attacker.release()
    return archive.decompress(attacker.read(f"targets/prod/{release.sha256}.{release.name}.tar.gz"))


def with_manifest(attacker: Attacker, change: Callable[[dict[str, object]], None]) -> bytes:
    """Return the live bundle with another manifest."""
    files = archive.read_tar(honest_tar(attacker))
    manifest = msgspec.json.decode(files["manifest.json"])
    change(manifest)
    return archive.compress(archive.write_tar({**files, "manifest.json": msgspec.json.encode(manifest)}))


@attack(
    "releases a bundle of uncommitted files",
    keys=PUBLISHER,
    seasoned=refused("was built from uncommitted files"),
    stopped_by="a bundle says so itself, and hosts refuse it",
)
def dirty_bundle(attacker: Attacker) -> None:
    signed_bundle(attacker, with_manifest(attacker, lambda manifest: manifest.update(dirty=True)))


@attack(
    "passes the bundle of one commit off as that of another",
    keys=PUBLISHER,
    seasoned=refused("is not the content of revision"),
    stopped_by="the commit is inside the bundle, and compared",
)
def bundle_of_another_revision(attacker: Attacker) -> None:
    attacker.release_forged(replace(attacker.forge(), revision="f" * 40))


@attack(
    "lists the bundle of the next commit under another commit, for hosts to remember it as bad",
    keys=PUBLISHER,
    seasoned=refused("is not the content of revision"),
    stopped_by="only what the bytes themselves show is remembered of them",
)
def good_bundle_slandered(attacker: Attacker) -> None:
    coming = attacker.scene.honest.coming[-1]
    bundle = coming.bundle
    attacker.release_forged(
        attacker.forge(blob=coming.blob, content_sha256=bundle.content_sha256, policy_sha256=bundle.policy_sha256)
    )


@attack(
    "releases a bundle that needs what no sidecar knows",
    keys=PUBLISHER,
    seasoned=refused("requires telepathy.v1, which this version lacks"),
    stopped_by="features are refused by name, never skipped",
)
def unknown_feature(attacker: Attacker) -> None:
    signed_bundle(attacker, with_manifest(attacker, lambda manifest: manifest.update(requires=["telepathy.v1"])))


@attack(
    "releases a bundle that needs a million characters of things unknown, to burst the host's own records",
    keys=PUBLISHER,
    seasoned=refused("requires telepathy.v0, telepathy.v1, telepathy.v2"),
    stopped_by="what a host writes down about a refusal is short",
)
def huge_refusal(attacker: Attacker) -> None:
    features = [f"telepathy.v{number}" for number in range(100_000)]
    signed_bundle(attacker, with_manifest(attacker, lambda manifest: manifest.update(requires=features)))


@attack(
    "releases a bundle whose own tests its rules fail",
    keys=PUBLISHER,
    seasoned=refused("self-test"),
    stopped_by="a bundle answers its own tests before it is enforced",
)
def failing_selftest(attacker: Attacker) -> None:
    case = SelfTestCase(request={"job": {"topic": "service.restart"}}, decision="allow")
    files = {"matcher.jsonl": encode_rules([]), "data.json": b"{}", "selftest.jsonl": encode_cases([case])}
    revision = attacker.release().revision
    signed_bundle(attacker, build_bundle(name="acme", revision=revision, dirty=False, files=files)[0])


@attack(
    "releases an archive that unpacks to a thousand times its size",
    keys=PUBLISHER,
    seasoned=refused("unpacks to more than"),
    stopped_by=READ_STRICTLY,
)
def gzip_bomb(attacker: Attacker) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabytes = deflate.compress(bytes(1 << 23)) + deflate.flush(zlib.Z_FULL_FLUSH)
    attacker.release_forged(attacker.forge(blob=archive.compress(b"")[:10] + megabytes * 40))


def with_entry(attacker: Attacker, name: bytes) -> bytes:
    """Return the live bundle with one entry more in front, named as given."""
    tar = honest_tar(attacker)
    header = bytearray(tar[:512])
    header[:100] = name.ljust(100, b"\0")
    header[124:135] = b"0" * 11
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return archive.compress(bytes(header) + tar)


@attack(
    "releases an archive with a path that climbs out of it",
    keys=PUBLISHER,
    seasoned=refused("not a plain relative path"),
    stopped_by=READ_STRICTLY,
)
def path_traversal(attacker: Attacker) -> None:
    signed_bundle(attacker, with_entry(attacker, b"../../etc/cron.d/x"))


@attack(
    "releases an archive that holds one file twice",
    keys=PUBLISHER,
    seasoned=refused("out of order or twice"),
    stopped_by=READ_STRICTLY,
)
def duplicate_entry(attacker: Attacker) -> None:
    signed_bundle(attacker, with_entry(attacker, honest_tar(attacker)[:100].rstrip(b"\0")))


@attack(
    "releases an archive with a file that its manifest does not list",
    keys=PUBLISHER,
    seasoned=refused("files do not match the manifest"),
    stopped_by=READ_STRICTLY,
)
def unlisted_file(attacker: Attacker) -> None:
    files = archive.read_tar(honest_tar(attacker))
    signed_bundle(attacker, archive.compress(archive.write_tar({**files, "extra": b""})))
