"""Attacks with the online keys, of timestamp and snapshot: what they gain without the key of a channel."""

from datetime import timedelta

from tamper.attacking import Attack, Attacker, accepts, collector, not_stopped, refused, shown_the_past, unchanged
from tamper.editing import now
from tuf.api.metadata import MetaFile

from builder.publishing import metadata
from policy_core.trust import layout
from policy_core.trust.layout import SIGNED_AT, format_time

ROWS: list[Attack] = []
attack = collector(ROWS)

TIMESTAMP = ("timestamp",)
ONLINE = ("snapshot", "timestamp")
FREEZE = "a freeze, no more; a new root with another key ends it"


# the timestamp's key alone: what a refresher holds


@attack(
    "signs a timestamp with an enormous version, above which nothing honest can come",
    keys=TIMESTAMP,
    seasoned=unchanged(FREEZE),
    fresh=accepts(2, "the state is honest"),
    stopped_by="recovery by a new root, which may begin again at 1",
)
def fast_forward(attacker: Attacker) -> None:
    attacker.stamp(version=2**31)


@attack(
    "the same, with a version that fits no machine word",
    keys=TIMESTAMP,
    seasoned=unchanged(FREEZE),
    fresh=accepts(2, "the state is honest"),
    stopped_by="as above",
)
def fast_forward_beyond_64_bits(attacker: Attacker) -> None:
    attacker.stamp(version=2**70)


@attack(
    "points a new timestamp at an older snapshot role",
    keys=TIMESTAMP,
    seasoned=refused("must be >="),
    fresh=shown_the_past(1, "the older snapshot role has not expired"),
    stopped_by="versions pinned never fall; the snapshot role expires after 180 days",
)
def older_snapshot(attacker: Attacker) -> None:
    old = attacker.past("release-1", "metadata/3.snapshot.json")
    attacker.stamp(metadata.pin_of(3, old))


@attack(
    "points a new timestamp at a snapshot role of their own",
    keys=TIMESTAMP,
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="the snapshot role has a key of its own",
)
def foreign_snapshot(attacker: Attacker) -> None:
    attacker.stamp(attacker.put("snapshot", attacker.sign(attacker.next_snapshot(), "foreign")))


@attack(
    "pins the snapshot role without a digest",
    keys=TIMESTAMP,
    seasoned=refused("pinned without length or sha256"),
    stopped_by="a pin without length and SHA-256 is refused",
)
def pin_without_digest(attacker: Attacker) -> None:
    attacker.stamp(MetaFile(attacker.role("snapshot").version))


@attack(
    "dates a timestamp years ahead, so that host time jumps and everything honest counts as expired",
    keys=TIMESTAMP,
    seasoned=refused("which is yet to come"),
    stopped_by="a signed time ahead of the host's is refused",
)
def signed_far_ahead(attacker: Attacker) -> None:
    attacker.stamp(**{SIGNED_AT: format_time(now() + timedelta(days=3650))})


@attack(
    "dates a timestamp 23 hours ahead, which is within the tolerance",
    keys=TIMESTAMP,
    seasoned=unchanged("host time goes ahead with it, and grants and exceptions end that much earlier"),
    fresh=accepts(2, "the state is honest"),
    stopped_by="never more than a day; timestamps that live shorter than that count as expired for so long",
)
def signed_a_little_ahead(attacker: Attacker) -> None:
    attacker.stamp(**{SIGNED_AT: format_time(now() + timedelta(hours=23))})


@attack(
    "leaves the signing time out",
    keys=TIMESTAMP,
    seasoned=refused("signed time None"),
    stopped_by="what must be signed must be there",
)
def without_signing_time(attacker: Attacker) -> None:
    attacker.stamp(**{SIGNED_AT: None})


@attack(
    "gives the timestamp a life of a hundred years",
    keys=TIMESTAMP,
    seasoned=unchanged("what is live is what it was"),
    fresh=accepts(2, "the state is honest"),
    stopped_by="the other roles expire, after 180 days at the latest; a new root with another key ends it",
)
def long_life(attacker: Attacker) -> None:
    attacker.stamp(life_s=100 * 365 * 86_400)


@attack(
    "signs other content under the version that is live",
    keys=TIMESTAMP,
    seasoned=unchanged("an equal version is no news"),
    fresh=accepts(2, "the state is honest"),
    stopped_by=FREEZE,
)
def same_version_other_content(attacker: Attacker) -> None:
    attacker.stamp(version=attacker.role("timestamp").version, extra="x")


@attack(
    "signs with the key that was replaced",
    keys=("old timestamp",),
    given=lambda scene: scene.rotate("timestamp"),
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="the newest root names the keys",
)
def revoked_timestamp_key(attacker: Attacker) -> None:
    attacker.stamp()


# snapshot and timestamp


@attack(
    "puts an old, genuine channel role into a new snapshot role",
    keys=ONLINE,
    seasoned=refused("expected prod.json version 2, got 3"),
    fresh=shown_the_past(1, "the older channel role has not expired"),
    stopped_by="versions pinned never fall; a channel role expires after 180 days",
)
def older_channel_role(attacker: Attacker) -> None:
    attacker.set_live(prod=metadata.pin_of(2, attacker.past("release-1", "metadata/2.prod.json")))


@attack(
    "puts an old channel role under a new number",
    keys=ONLINE,
    seasoned=refused("expected prod v9, got v2"),
    stopped_by="the number is inside what is signed",
)
def older_channel_role_renumbered(attacker: Attacker) -> None:
    attacker.set_live(prod=attacker.put("prod", attacker.past("release-1", "metadata/2.prod.json"), number=9))


@attack(
    "signs the channel role with a key of their own",
    keys=ONLINE,
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="a channel has its own keys, named by the targets role",
)
def channel_role_by_foreign_key(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(), by="foreign")


@attack(
    "signs the channel role with the key of another channel",
    keys=(*ONLINE, "staging"),
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="a channel has its own keys, named by the targets role",
)
def channel_role_by_key_of_another(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(), by="staging")


@attack(
    "lists this channel's path in the role of another channel",
    keys=(*ONLINE, "staging"),
    seasoned=unchanged("a host reads its own channel's role, and no other"),
    fresh=accepts(2, "a host reads its own channel's role, and no other"),
    stopped_by="each delegation covers its own path, and is terminating",
)
def path_listed_by_another_channel(attacker: Attacker) -> None:
    pin = attacker.put("staging", attacker.sign(attacker.listing(attacker.forge(), role="staging"), "staging"))
    attacker.set_live(staging=pin)


@attack(
    "drops the channel from the snapshot role",
    keys=ONLINE,
    seasoned=refused("new snapshot is missing info for 'prod.json'"),
    fresh=refused("role prod was delegated but is not part of snapshot"),
    stopped_by="a role that was there must stay",
)
def dropped_channel(attacker: Attacker) -> None:
    snapshot = attacker.next_snapshot()
    del snapshot.meta["prod.json"]
    attacker.sign_snapshot(snapshot)


@attack(
    "pins an enormous version of the channel role, which does not exist",
    keys=ONLINE,
    seasoned=refused("expected prod v2147483648, got v3"),
    stopped_by="a pin must lead to a file that fits it",
)
def pin_to_nowhere(attacker: Attacker) -> None:
    data = attacker.read(layout.metadata_name("prod", attacker.role("prod").version))
    attacker.set_live(prod=attacker.put("prod", data, number=2**31))


@attack(
    "brings the old targets role back, and with it a channel key that was replaced",
    keys=(*ONLINE, "old prod"),
    given=lambda scene: scene.rotate("prod"),
    seasoned=refused("expected targets.json version"),
    fresh=not_stopped("the old targets role is genuine and has not expired"),
    stopped_by="replace the keys of snapshot and timestamp, too, when a channel's key is stolen: then it is refused",
)
def revoked_channel_key(attacker: Attacker) -> None:
    pin = attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "prod"))
    old = attacker.past("live", layout.metadata_name("targets", 1))
    attacker.set_live(prod=pin, targets=metadata.pin_of(1, old))


@attack(
    "the same, after snapshot and timestamp got new keys as well",
    keys=("old snapshot", "old timestamp", "old prod"),
    given=lambda scene: scene.rotate("prod", "snapshot", "timestamp"),
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="the newest root names the keys",
)
def revoked_online_keys(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge())
