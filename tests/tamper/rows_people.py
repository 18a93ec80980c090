"""Attacks where root, targets and the channel take two of three people: what one of them alone can do."""

import json

from tamper.attacking import Attack, Attacker, accepts, collector, not_stopped, refused, unchanged
from tamper.scene import Scene
from tuf.api.metadata import Metadata

ROWS: list[Attack] = []
attack = collector(ROWS)

ONE = ("ana", "snapshot", "timestamp")
TWO = ("ana", "ben", "snapshot", "timestamp")
THRESHOLD = "two of three people must sign, and everybody's key counts once"


def with_people(scene: Scene) -> None:
    """Hand root, targets and prod to people."""
    scene.hand_to_people()


def without_ana(scene: Scene) -> None:
    """Hand them to people, and take ana's key away again."""
    scene.hand_to_people()
    scene.remove_from_channel("ana")


@attack(
    "signs the channel role alone",
    keys=ONE,
    given=with_people,
    seasoned=refused("signed by 1/2 keys"),
    stopped_by=THRESHOLD,
)
def one_of_two_signatures(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(), by="ana")


@attack(
    "signs the channel role twice with one key",
    keys=ONE,
    given=with_people,
    seasoned=refused("prod.json: failed to deserialize JSON"),
    stopped_by=THRESHOLD,
)
def one_key_twice(attacker: Attacker) -> None:
    role = attacker.listing(attacker.forge())
    attacker.set_live(prod=attacker.put("prod", doubled(attacker.sign(role, "ana")), number=role.version))


def doubled(data: bytes) -> bytes:
    """Return metadata with each signature written twice."""
    document = json.loads(data)
    document["signatures"] *= 2
    return json.dumps(document).encode()


@attack(
    "writes their own signature once more, under the key id of a colleague",
    keys=ONE,
    given=with_people,
    seasoned=refused("signed by 1/2 keys"),
    stopped_by="a signature is verified with the key that its id names",
)
def signature_under_a_foreign_id(attacker: Attacker) -> None:
    metadata = Metadata.from_bytes(attacker.sign(attacker.listing(attacker.forge()), "ana"))
    (signature,) = metadata.signatures.values()
    ben = attacker.scene.signers["ben"].public_key.keyid
    metadata.signatures[ben] = type(signature)(ben, signature.signature)
    attacker.set_live(prod=attacker.put("prod", metadata.to_bytes()))


@attack(
    "adds signatures by keys that no role knows",
    keys=ONE,
    given=with_people,
    seasoned=refused("signed by 1/2 keys"),
    stopped_by="only keys of the role count",
)
def signatures_of_strangers(attacker: Attacker) -> None:
    attacker.set_live(prod=attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "ana", "foreign")))


@attack(
    "uses the signature of a person whose key was revoked, beside one that counts",
    keys=("ana", "ben", "snapshot", "timestamp"),
    given=without_ana,
    seasoned=refused("signed by 1/2 keys"),
    stopped_by="the newest targets role names who may sign",
)
def revoked_person(attacker: Attacker) -> None:
    attacker.set_live(prod=attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "ana", "ben")))


@attack(
    "delegates the channel to a key of their own, alone",
    keys=ONE,
    given=with_people,
    seasoned=refused("signed by 1/2 keys"),
    stopped_by=THRESHOLD,
)
def targets_by_one_person(attacker: Attacker) -> None:
    targets = attacker.role("targets")
    targets.version += 1
    own_delegation(attacker, targets)
    attacker.set_live(
        targets=attacker.put("targets", attacker.sign(targets, "ana")),
        prod=attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "foreign")),
    )


def own_delegation(attacker: Attacker, targets: object) -> None:
    """Let the attacker's own key sign for the channel, alone."""
    role = targets.delegations.roles["prod"]  # type: ignore[attr-defined]
    role.keyids, role.threshold = [], 1
    targets.add_key(attacker.foreign.public_key, "prod")  # type: ignore[attr-defined]


@attack(
    "signs a new root alone, in which their own key is all it takes",
    keys=ONE,
    given=with_people,
    seasoned=refused("signed by 1/2 keys"),
    stopped_by="a new root needs the threshold of the old one, and of itself",
)
def root_by_one_person(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 1
    own = attacker.signers["ana"].public_key.keyid
    for role in ("root", "targets"):
        root.roles[role].keyids, root.roles[role].threshold = [own], 1
    attacker.put("root", attacker.sign(root, "ana"))


@attack(
    "signs a root with the keys of the first root, which people have replaced since",
    keys=("old root",),
    given=with_people,
    seasoned=refused("signed by 0/2 keys"),
    stopped_by="roots are followed one by one, each signed by the one before",
)
def replaced_root_key(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 1
    attacker.put("root", attacker.sign(root, "root"))


@attack(
    "skips a root, to get past the one that took their key away",
    keys=("old root",),
    given=with_people,
    seasoned=unchanged("the next number is missing, so there is no newer root"),
    fresh=accepts(2, "the next number is missing, so there is no newer root"),
    stopped_by="roots have no gaps",
)
def skipped_root(attacker: Attacker) -> None:
    root = attacker.role("root")
    root.version += 2
    attacker.put("root", attacker.sign(root, "root"))


@attack(
    "two people sign a release that allows everything",
    keys=TWO,
    given=with_people,
    seasoned=not_stopped("this is what a threshold of two means"),
    stopped_by="`writ verify --rebuild` and the ledger show it, with their names",
)
def two_people_together(attacker: Attacker) -> None:
    attacker.set_live(prod=attacker.put("prod", attacker.sign(attacker.listing(attacker.forge()), "ana", "ben")))
