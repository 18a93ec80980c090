"""Attacks with all keys of a publisher: what a signature does not make acceptable, and what it does."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
from tamper.attacking import Attack, Attacker, accepts, collector, not_stopped, refused, shown_the_past, unchanged
from tamper.editing import now
from tamper.scene import Scene
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile

from policy_core.bundle import archive, build_bundle
from policy_core.matcher import encode_rules
from policy_core.selftest import SelfTestCase, encode_cases
from policy_core.trust.release import MAX_INTEGER

ROWS: list[Attack] = []
attack = collector(ROWS)

PUBLISHER = ("prod", "snapshot", "timestamp")
READ_STRICTLY = "a bundle is read as hostile input, signed or not, and never unpacked to disk"

# with the channel's key alone


@attack(
    "signs a release that allows everything, and lays it into the store",
    keys=("prod",),
    seasoned=unchanged("no snapshot role lists it"),
    fresh=accepts(2, "no snapshot role lists what was forged"),
    stopped_by="it takes the keys of snapshot and timestamp, too",
)
def channel_key_alone(attacker: Attacker) -> None:
    attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "prod"))


@attack(
    "signs a release that allows everything over the live number",
    keys=("prod",),
    unseen=Scene.publish,
    seasoned=refused("metadata/4.prod.json: observed"),
    stopped_by="every role is pinned by version, length and SHA-256",
)
def channel_key_alone_in_place(attacker: Attacker) -> None:
    attacker.put("prod", attacker.sign(attacker.listing(attacker.forge(), ahead=0), "prod"))


# with all the publisher's keys


@attack(
    "signs a release that allows everything",
    keys=PUBLISHER,
    seasoned=not_stopped("these keys are the policy"),
    stopped_by="`writ verify --rebuild` shows that no commit gives it; new keys and a higher release end it. A "
    "channel that takes two people is not open to this, see below",
)
def publishers_keys(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge())


@attack(
    "lists two bundles",
    keys=PUBLISHER,
    seasoned=refused("targets (expected one)"),
    stopped_by="a channel has one release",
)
def two_targets(attacker: Attacker) -> None:
    role = attacker.listing(attacker.forge())
    honest = attacker.release().target()
    role.targets["prod/other.tar.gz"] = replace_path(honest, "prod/other.tar.gz")
    attacker.set_live(prod=attacker.put("prod", attacker.sign(role, "prod")))


def replace_path(target: TargetFile, path: str) -> TargetFile:
    return TargetFile(target.length, target.hashes, path, target.unrecognized_fields)


@attack(
    "lists nothing any more",
    keys=PUBLISHER,
    seasoned=refused("lists no release any more"),
    fresh=unchanged("a channel without a release: everything is denied"),
    stopped_by="a channel never goes back to having none",
)
def emptied_channel(attacker: Attacker) -> None:
    role = attacker.role("prod")
    role.version, role.targets = role.version + 1, {}
    attacker.set_live(prod=attacker.put("prod", attacker.sign(role, "prod")))


@attack(
    "lists an older release under its old number",
    keys=PUBLISHER,
    seasoned=refused("release 1: lower than 2, which this host has seen"),
    fresh=shown_the_past(1, "the release is genuine, and nothing tells that there was a newer one"),
    stopped_by="release numbers never fall; `min_release` for a fresh host",
)
def lower_release(attacker: Attacker) -> None:
    first = attacker.scene.past_release("release-1", "metadata/2.prod.json")
    attacker.release_forged(first)


@attack(
    "lists other bytes under the number that is live",
    keys=PUBLISHER,
    seasoned=refused("release 2: lists other bytes than before"),
    fresh=not_stopped("it has not seen release 2", release=2),
    stopped_by="a number stands for one bundle; else as above",
)
def same_release_other_bytes(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(release=2))


@attack(
    "uses the release numbers up",
    keys=PUBLISHER,
    seasoned=refused("higher than any channel can have come to"),
    stopped_by="a number above the seconds since 1970 is refused, so the next one is always left",
)
def last_release_number(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(release=MAX_INTEGER))


@attack(
    "signs a release of a schema yet to come, hoping that its rules are skipped",
    keys=PUBLISHER,
    seasoned=refused("schema 2 (expected 1)"),
    stopped_by="what a version does not know it refuses",
)
def future_schema(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(), schema=2)


@attack(
    "puts a line break into the reason, to forge lines in logs and ledgers",
    keys=PUBLISHER,
    seasoned=refused("bad reason"),
    stopped_by="signed texts are one line of printable ASCII",
)
def line_break_in_reason(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(), reason="x\nWrit-Actor: somebody else")


@attack(
    "names the bundle with a path that climbs out of the channel's folder",
    keys=PUBLISHER,
    seasoned=refused("bad name"),
    stopped_by="names are of a closed form",
)
def climbing_name(attacker: Attacker) -> None:
    role = attacker.listing(attacker.forge())
    (target,) = role.targets.values()
    target.path = "prod/...tar.gz"
    role.targets = {target.path: target}
    attacker.set_live(prod=attacker.put("prod", attacker.sign(role, "prod")))


@attack(
    "lists a bundle of another channel",
    keys=PUBLISHER,
    seasoned=refused("which is not its own"),
    stopped_by="a delegation covers `<channel>/*`",
)
def path_of_another_channel(attacker: Attacker) -> None:
    role = attacker.listing(attacker.forge())
    (target,) = role.targets.values()
    role.targets = {"staging/acme.tar.gz": replace_path(target, "staging/acme.tar.gz")}
    attacker.set_live(prod=attacker.put("prod", attacker.sign(role, "prod")))


@attack(
    "delegates the channel's paths on to a key of their own, to stay when the stolen ones are replaced",
    keys=PUBLISHER,
    seasoned=unchanged("the channel's own role still lists the live release; no host looks further"),
    fresh=accepts(2, "the channel's own role still lists the live release"),
    stopped_by="only what the channel's role lists itself is its release",
)
def delegation_below_the_channel(attacker: Attacker) -> None:
    role = attacker.role("prod")
    key = attacker.foreign.public_key
    below = DelegatedRole("below", [key.keyid], 1, terminating=True, paths=["prod/*"])
    role.version, role.delegations = role.version + 1, Delegations({key.keyid: key}, {"below": below})
    listing = attacker.listing(attacker.forge())
    attacker.set_live(
        prod=attacker.put("prod", attacker.sign(role, "prod")),
        below=attacker.put("below", attacker.sign(listing, "foreign")),
    )


@attack(
    "signs a channel role that has expired",
    keys=PUBLISHER,
    seasoned=refused("new prod is expired"),
    stopped_by="expired metadata is never taken, whatever it says",
)
def expired_channel_role(attacker: Attacker) -> None:
    role = attacker.listing(attacker.forge())
    role.expires = now() - timedelta(seconds=1)
    attacker.set_live(prod=attacker.put("prod", attacker.sign(role, "prod")))


# bundles that are signed, and still no policy


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
