"""``writ-sidecar rollback`` and ``resume``: back to the previous snapshot on this host, and forth again."""

from pathlib import Path

import click
import msgspec

from agent_sidecar.cli.shared import admin, config_option, format_option, print_status, state_option


@click.command()
@state_option
@config_option
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history and shown in the status.")
@format_option
def rollback(state: Path | None, config: Path | None, reason: str, output_format: str) -> None:
    """Enforce the previous snapshot on this host, at once and without network, until resume.

    \b
    Example:
      writ-sidecar rollback --state /var/lib/writ --reason "restarts refused since 14:02"
    """
    order = msgspec.json.encode({"reason": reason})
    print_status(admin(state, config, "POST", "/rollback", order), output_format)


@click.command()
@state_option
@config_option
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
@format_option
def resume(state: Path | None, config: Path | None, reason: str, output_format: str) -> None:
    """End a rollback on this host: enforce the channel's current release again.

    \b
    Example:
      writ-sidecar resume --state /var/lib/writ
    """
    order = msgspec.json.encode({"reason": reason})
    print_status(admin(state, config, "POST", "/resume", order), output_format)
