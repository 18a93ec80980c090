"""What publishes: the table of operations. Each is a command of ``writ`` with a past that leaves it something to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stress.past import Past

CHANNELS = ("staging", "prod")


@dataclass(frozen=True)
class Operation:
    """A command, in whose words `{folder}` is where people keep their things, and what goes before it.

    `releases` is how many the channel prod gets by it, `requests` what it costs at the store. Repeated when it is done
    it ends with the exit code `again`. What others publish next goes to the channel `then`.
    """

    past: Callable[[Past], None]
    command: tuple[str, ...]
    requests: int
    releases: int = 0
    again: int = 0
    then: str = "prod"
    environment: Mapping[str, str] = field(default_factory=dict)


def _released(past: Past) -> None:
    past.writ("publish", "--channel", "prod")


def _another_commit(past: Past) -> None:
    _released(past)
    past.repository.commit_policy("second")


def _two_releases(past: Past) -> None:
    _another_commit(past)
    past.writ("publish", "--channel", "prod")


def _nearly_expired(past: Past) -> None:
    with past.days_ago(310):
        past.begin()
        _released(past)
    past.writ("refresh")  # all but root and targets, whose end is near


def _another_channel(past: Past) -> None:
    _released(past)
    settings = (past.repository.path / "writ.yaml").read_text()
    past.repository.commit({"writ.yaml": settings.replace("prod]", "prod, canary]")})


def _staged(past: Past) -> None:
    past.writ("publish", "--channel", "staging")


def _people(past: Past) -> None:
    """Let ana and bo sign for prod, in place of a machine, and di be on call; one release is live."""
    _two_releases(past)
    past.writ("publish", "--channel", "staging")
    for role, *names in (("prod", "ana", "bo"), ("prod.oncall", "di")):
        keys = [word for name in names for word in ("--key", past.key(name), "--owner", name)]
        machine = ("--remove", past.machine_key("prod")) if role == "prod" else ()
        past.ceremony("keys", "add", role, *keys, *machine, "--threshold", str(len(names)), signers=names)


def _people_and_more(past: Past) -> None:
    _people(past)
    past.repository.commit_policy("third")
    past.writ("publish", "--channel", "staging")


def _approved(past: Past) -> None:
    _people_and_more(past)
    past.writ("promote", "--to", "prod")
    for name in ("ana", "bo"):
        past.approve(name)


def _rotation(past: Past) -> None:
    _released(past)
    keys = ("--key", past.key("ana"), "--owner", "ana", "--remove", past.machine_key("root"))
    past.ceremony("keys", "rotate-root", *keys, signers=["ana"], apply=False)


def _with_people(past: Callable[[Past], None], *command: str, **figures: int) -> Operation:
    """Return an operation on a channel that people sign for, so that a mere publisher goes on in another one."""
    on_call = {"WRIT_SIGNER_PROD_ONCALL": "file:{folder}/di"}
    return Operation(past, command, then="staging", environment=on_call, **figures)


ROLLBACK = ("rollback", "--channel", "prod", "--to", "1", "--reason", "too strict")
PROMOTE = ("promote", "--to", "prod")
COMPLETE = ("approve", "--channel", "prod", "--complete")
DENY = ("emergency", "deny", "actions: [x]", "--channel", "prod", "--reason", "stop", "--expires", "4h", "--id", "stop")

OPERATIONS = {
    "publish": Operation(_another_commit, ("publish", "--channel", "prod"), requests=14, releases=1),
    "rollback": Operation(_two_releases, ROLLBACK, requests=15, releases=1),
    "promote": Operation(_staged, PROMOTE, requests=17, releases=1),
    "refresh": Operation(_released, ("refresh",), requests=7),
    "maintain": Operation(_nearly_expired, ("maintain",), requests=12),
    "add-channel": Operation(_another_channel, ("keys", "add-channel", "canary"), requests=15),
    "rotate-root": Operation(_rotation, ("keys", "apply", "{folder}/ceremony", "--yes"), requests=13),
    "propose": _with_people(_people_and_more, *PROMOTE, requests=28),
    "complete": _with_people(_approved, *COMPLETE, requests=24, releases=1),
    "roll-back-on-call": _with_people(_people, *ROLLBACK, requests=20, releases=1),
    "deny": _with_people(_people, *DENY, requests=20, releases=1, again=7),
}
