"""What a row about publishers, approvers and auditors is, and the commands that notice attacks on them."""

from collections.abc import Callable
from dataclasses import dataclass

from tamper.attacking import Attacker
from tamper.scene import CHANNELS, Scene

from builder.auditing import look_up, verify_channel
from builder.publishing.carrying_out import change_keys
from builder.publishing.key_changes import change_holders
from builder.releasing import (
    complete_pending,
    promote_release,
    publish_commit,
    refresh_store,
    review_pending,
)
from policy_core.errors import KnownError

Command = Callable[[Scene], object]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One row: an attack, the command that notices it, and with which error."""

    name: str
    holds: str
    does: str
    do: Callable[[Attacker], None]
    given: Callable[[Scene], None]
    keys: tuple[str, ...]
    command: str
    error: type[KnownError]
    text: str


COMMANDS: dict[str, Command] = {
    "writ publish": lambda scene: publish_commit(scene.workspace, "prod", "HEAD", actor="Ada"),
    "writ publish (an old commit)": lambda scene: publish_commit(
        scene.workspace, "prod", scene.honest.coming[0].bundle.revision, actor="Ada"
    ),
    "writ promote": lambda scene: promote_release(
        scene.workspace, "prod", "staging", number=None, reason="", actor="Ada"
    ),
    "writ refresh": lambda scene: refresh_store(scene.workspace),
    "writ verify": lambda scene: verify_channel(scene.workspace, "prod"),
    "writ verify --rebuild": lambda scene: verify_channel(scene.workspace, "prod", rebuild="live"),
    "writ live --verify": lambda scene: look_up(scene.workspace, "prod", when=None, verify=True),
    "writ approve": lambda scene: review_pending(scene.workspace, scene.approver("ben"), number=None),
    "writ keys add": lambda scene: change_keys(
        {channel: scene.publisher(channel) for channel in CHANNELS},
        lambda before: change_holders(before, "prod", added=[scene.asked_for]),
    ),
    "writ approve (again)": lambda scene: scene.sign_waiting("ana"),
    "writ approve --complete": lambda scene: complete_pending(scene.workspace, scene.publisher(), number=None),
}


def nothing(_: Scene) -> None:
    """Leave all as it is."""


def collector(rows: list[Alarm]) -> Callable[..., Callable[[Callable[[Attacker], None]], None]]:
    """Return a decorator that makes rows of functions: their names become the rows' names."""

    def alarm(
        does: str,
        *,
        command: str,
        error: type[KnownError],
        text: str,
        holds: str = "the store",
        keys: tuple[str, ...] = (),
        given: Callable[[Scene], None] = nothing,
    ) -> Callable[[Callable[[Attacker], None]], None]:
        def collect(do: Callable[[Attacker], None]) -> None:
            row = Alarm(
                name=do.__name__, holds=holds, does=does, do=do, given=given, keys=keys, command=command,
                error=error, text=text,
            )  # fmt: skip
            rows.append(row)

        return collect

    return alarm
