"""``writ-sidecar status``, ``snapshots``, ``history`` and ``log-level``: what a host enforces, and has enforced."""

from pathlib import Path

import click
import msgspec

from agent_sidecar.cli.shared import (
    admin,
    config_option,
    format_option,
    print_json,
    print_status,
    state_directory,
    state_option,
)
from agent_sidecar.logs import LEVELS
from agent_sidecar.texts import event_text, snapshot_text
from policy_core.errors import RemoteError, UsageError

HISTORY_EVENTS = 20


@click.command()
@state_option
@config_option
@click.option("--ready", "must_be_ready", is_flag=True, help="End with code 6 unless a policy is enforced.")
@format_option
def status(state: Path | None, config: Path | None, must_be_ready: bool, output_format: str) -> None:
    """Show what a running sidecar enforces, how fresh that is, and what to do next.

    \b
    Example:
      writ-sidecar status --state /var/lib/writ
    """
    found = admin(state, config, "GET", "/status")
    print_status(found, output_format)
    if must_be_ready and not found["ready"]:
        raise RemoteError(f"status: not ready: {found['reason']}", hint="everything is denied")


@click.command()
@state_option
@config_option
@format_option
def snapshots(state: Path | None, config: Path | None, output_format: str) -> None:
    """Show the snapshots a running sidecar holds, and which of them it enforces.

    \b
    Example:
      writ-sidecar snapshots --state /var/lib/writ
    """
    found = admin(state, config, "GET", "/api/v1/policy/snapshots")
    if output_format == "json":
        print_json(found)
    else:
        click.echo("\n".join(map(snapshot_text, found["snapshots"])) or "none yet")


@click.command()
@state_option
@config_option
@click.option("-n", "count", type=click.IntRange(1, 1000), default=HISTORY_EVENTS, show_default=True, help="Events.")
@format_option
def history(state: Path | None, config: Path | None, count: int, output_format: str) -> None:
    """Show what this host activated, refused and rolled back.

    The newest comes last. It is read from disk, so no sidecar needs to run.

    \b
    Example:
      writ-sidecar history --state /var/lib/writ -n 5
    """
    from agent_sidecar.history import History

    directory = state_directory(state, config)
    if not directory.is_dir():
        raise UsageError(f"{directory}: is not the state directory of a sidecar")
    events = History(directory).last(count)
    if output_format == "json":
        print_json(events)
        return
    for event in events:
        click.echo(event_text(msgspec.to_builtins(event)))


@click.command("log-level")
@state_option
@config_option
@format_option
@click.argument("level", type=click.Choice(LEVELS), required=False)
def log_level(state: Path | None, config: Path | None, output_format: str, level: str | None) -> None:
    """Show the least level a running sidecar logs, or set it to LEVEL until it restarts or its setting changes.

    \b
    Example:
      writ-sidecar log-level --state /var/lib/writ debug
    """
    order = msgspec.json.encode({"level": level}) if level else None
    found = admin(state, config, "POST" if level else "GET", "/log-level", order)
    if output_format == "json":
        print_json(found)
    else:
        click.echo(found["level"])
