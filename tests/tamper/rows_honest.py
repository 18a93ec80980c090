"""What owners do, and hosts are to follow: whoever refuses too much is switched off."""

from collections.abc import Callable
from dataclasses import dataclass

from tamper.attacking import Seen, accepts, unchanged
from tamper.rows_oncall import selecting, serve
from tamper.scene import Scene

from builder.publishing.refresh import refresh
from builder.publishing.rollback import roll_back


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row: what owners do, and what a host that follows and a fresh one make of it."""

    name: str
    does: str
    do: Callable[[Scene], object]
    seasoned: Seen
    fresh: Seen


STEPS: list[Step] = []


def step(does: str, *, seasoned: Seen, fresh: Seen | None = None) -> Callable[[Callable[[Scene], object]], None]:
    """Make a row of a function."""

    def collect(do: Callable[[Scene], object]) -> None:
        STEPS.append(Step(name=do.__name__, does=does, do=do, seasoned=seasoned, fresh=fresh or seasoned))

    return collect


NO_RELEASE = unchanged("newer metadata, the same release")
SAME = accepts(2, "the release that is live")


@step("sign the timestamp again", seasoned=NO_RELEASE, fresh=SAME)
def refreshed(scene: Scene) -> None:
    refresh([scene.publisher()])


@step("publish", seasoned=accepts(3, "the next release"))
def published(scene: Scene) -> None:
    scene.publish()


@step("publish twice between two polls", seasoned=accepts(4, "one is passed over"))
def published_twice(scene: Scene) -> None:
    scene.publish_all()


@step("roll back: a higher release that lists older bytes", seasoned=accepts(3, "the bytes of release 1"))
def rolled_back(scene: Scene) -> None:
    roll_back(scene.publisher(), to=None, reason="broken", actor="Ada")


@step("promote what is live in another channel", seasoned=accepts(3, "the bytes of the other channel"))
def promoted(scene: Scene) -> None:
    scene.publish(channel="staging")
    scene.promote()


@step("let who is on call go back", seasoned=accepts(3, "the bytes of release 1"))
def rolled_back_on_call(scene: Scene) -> None:
    scene.put_on_call("prod")
    owners = scene.owners
    serve(owners, selecting(owners, scene.past_release("release-1", "metadata/2.prod.json").sha256))


@step("replace the timestamp's key by a new root", seasoned=NO_RELEASE, fresh=SAME)
def timestamp_key_replaced(scene: Scene) -> None:
    scene.rotate("timestamp")


@step("replace the keys of all roles, one root after the other, while a host is off", seasoned=NO_RELEASE, fresh=SAME)
def all_keys_replaced(scene: Scene) -> None:
    for name in ("timestamp", "snapshot", "root", "targets", "prod"):
        scene.rotate(name)


@step("replace a stolen channel key, and publish with the new one", seasoned=accepts(3, "the next release"))
def channel_key_replaced(scene: Scene) -> None:
    scene.rotate("prod", "snapshot", "timestamp")
    scene.publish()


@step(
    "hand root, targets and channel to people; two of them sign a release",
    seasoned=accepts(3, "signed by two"),
)
def handed_to_people(scene: Scene) -> None:
    scene.hand_to_people()
    scene.publish()


@step("revoke one of three people; the other two sign", seasoned=accepts(3, "signed by the two others"))
def person_revoked(scene: Scene) -> None:
    scene.hand_to_people()
    scene.remove_from_channel("ana")
    scene.publish()
