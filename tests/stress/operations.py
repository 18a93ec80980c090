"""What publishes: the table of operations, each with a past that leaves it something to do.

`run` gets a workspace, and may be repeated. What it does beforehand, `past`, happens once and undisturbed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from git_folder import GitFolder

from builder.publishing.workspace import Workspace
from builder.releasing import (
    add_channel,
    enrolling,
    maintain_store,
    publish_commit,
    publish_rollback,
    refresh_store,
)

ADA = "Ada Example <ada@example.com>"
CHANNELS = ("staging", "prod")


@dataclass(frozen=True)
class Operation:
    """One way of changing the store.

    `past` gets the policy repository and a function that does something, if need be `days_ago`. `requests` is what it
    costs at the store (docs/reference/store.md has the figures, too), `releases` how many the channel prod gets by it.
    """

    past: Callable[[GitFolder, Callable[..., None]], None]
    run: Callable[..., Any]
    requests: int
    releases: int = 0


def publish(workspace: Workspace, channel: str = "prod") -> None:
    publish_commit(workspace, channel, "HEAD", actor=ADA)


def _released(folder: GitFolder, do: Callable[..., None]) -> None:
    do(publish)


def _another_commit(folder: GitFolder, do: Callable[..., None]) -> None:
    do(publish)
    folder.commit_policy("second")


def _two_releases(folder: GitFolder, do: Callable[..., None]) -> None:
    _another_commit(folder, do)
    do(publish)


def _nearly_expired(folder: GitFolder, do: Callable[..., None]) -> None:
    do(publish, days_ago=310)
    do(refresh_store)  # all but root and targets, whose end is near


def _another_channel(folder: GitFolder, do: Callable[..., None]) -> None:
    do(publish)
    settings = (folder.path / "writ.yaml").read_text()
    folder.commit({"writ.yaml": settings.replace("prod]", "prod, canary]")})


OPERATIONS = {
    "publish": Operation(_another_commit, publish, requests=14, releases=1),
    "rollback": Operation(
        _two_releases,
        lambda workspace: publish_rollback(workspace, "prod", to=1, reason="too strict", actor=ADA),
        requests=15,
        releases=1,
    ),
    "refresh": Operation(_released, refresh_store, requests=7),
    "maintain": Operation(_nearly_expired, maintain_store, requests=12),
    "add-channel": Operation(
        _another_channel,
        lambda workspace: add_channel("canary", enrolling(workspace, "canary")),
        requests=17,
    ),
}
