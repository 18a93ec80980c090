"""Attacks with the keys of root and targets where each of them is a single one, as ``keys init --dev`` makes them."""

from tamper.attacking import Attack, Attacker, accepts, collector, not_stopped, refused, unchanged
from tamper.rows_people import own_delegation

ROWS: list[Attack] = []
attack = collector(ROWS)


@attack(
    "delegates the channel to a key of their own",
    keys=("targets",),
    seasoned=unchanged("no snapshot role lists the new targets role"),
    fresh=accepts(2, "no snapshot role lists the new targets role"),
    stopped_by="it takes the keys of snapshot and timestamp, too",
)
def targets_key_alone(attacker: Attacker) -> None:
    targets = attacker.role("targets")
    targets.version += 1
    own_delegation(attacker, targets)
    attacker.put("targets", attacker.sign(targets, "targets"))


@attack(
    "delegates the channel to a key of their own, and makes it live",
    keys=("targets", "snapshot", "timestamp"),
    seasoned=not_stopped("who names the channel's keys is the channel"),
    stopped_by="let `targets` take two of three people",
)
def targets_and_online_keys(attacker: Attacker) -> None:
    targets = attacker.role("targets")
    targets.version += 1
    own_delegation(attacker, targets)
    attacker.set_live(
        targets=attacker.put("targets", attacker.sign(targets, "targets")),
        prod=attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "foreign")),
    )


@attack(
    "signs a new root in which all keys are their own",
    keys=("root",),
    seasoned=not_stopped("the root names everybody's keys"),
    stopped_by="let `root` take two of three people; afterwards hosts need a new `root.json` by hand",
    for_good=True,
)
def root_key(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 1
    for name in ("snapshot", "timestamp", "targets"):
        root.roles[name].keyids = []
        root.add_key(attacker.foreign.public_key, name)
    attacker.put("root", attacker.sign(root, "root"))
    attacker.signers = dict.fromkeys(("snapshot", "timestamp", "targets"), attacker.foreign)
    targets_and_online_keys(attacker)


@attack(
    "signs a new root that only itself vouches for",
    keys=("snapshot", "timestamp", "targets"),
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="a new root needs the threshold of the old one, too",
)
def root_by_other_roles(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 1
    root.roles["root"].keyids = []
    root.add_key(attacker.signers["targets"].public_key, "root")
    attacker.put("root", attacker.sign(root, "targets"))
