"""Attacks with all keys of a publisher: what a signature does not make acceptable, and what it does."""

from datetime import timedelta

from tamper.attacking import Attack, Attacker, accepts, collector, not_stopped, refused, shown_the_past, unchanged
from tamper.editing import now
from tamper.scene import Scene
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile

from policy_core.trust.release import MAX_INTEGER

ROWS: list[Attack] = []
attack = collector(ROWS)

PUBLISHER = ("prod", "snapshot", "timestamp")

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
