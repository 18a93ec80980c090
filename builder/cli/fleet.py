"""``writ fleet``: what the hosts report, beside what is live."""

from typing import TYPE_CHECKING

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import format_option, print_json, progress

if TYPE_CHECKING:
    from builder.fleet.judging import Live
    from builder.publishing.workspace import Workspace

DAYS = 30


@click.command()
@click.option("--channel", metavar="NAME", help="Only hosts of this channel (default: all in writ.yaml).")
@click.option("--host", metavar="NAME", help="Everything one host has said of itself, its signature checked.")
@click.option("--reports", metavar="URL", help="Where hosts report (default: `reports` in writ.yaml).")
@click.option(
    "--days", type=click.IntRange(0, DAYS), default=0, metavar="N",
    help="Also show what hosts that are silent said last, up to N days ago.",
)  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="Show all hosts that need a look, however many.")
@format_option
@click.pass_context
def fleet(
    context: click.Context,
    channel: str | None,
    host: str | None,
    reports: str | None,
    days: int,
    show_all: bool,
    output_format: str,
) -> None:
    """Show the hosts by release, lag, freshness and version, and name those that need a look.

    A host reports every ten minutes, and when something changes. What is live is read from the store and verified. What
    hosts say of themselves is listed as they say it; --host checks their signature.

    \b
    Example:
      writ fleet
      writ fleet --channel prod --days 7 --all
      writ fleet --host web-17
    """
    from builder.fleet.listing import read_fleet
    from builder.fleet.overview import record, text, view
    from builder.publishing.publisher import system_clock
    from builder.publishing.workspace import Workspace

    workspace = Workspace.open(context.obj)
    shown_channels = [workspace.channel(channel)] if channel else list(workspace.project.channels)
    all_channels = {*workspace.project.channels, *shown_channels}  # a host that reports elsewhere is not silent
    store = workspace.records(reports)
    now = system_clock().timestamp()
    progress("listing what hosts report …")
    found = read_fleet(store, sorted(all_channels), now=now, since_s=days * 86_400.0)
    lives = [live for name in shown_channels if (live := _live(workspace, name))]
    views = view(found, lives, now=now)
    if host:
        from builder.fleet.inspecting import host_record, host_text

        shown = host_record(store, views, host)
        if output_format == "json":
            print_json(shown)
        else:
            for line in host_text(shown):
                echo_marked(line)
    elif output_format == "json":
        print_json(record(views, found))
    else:
        click.echo("\n".join(text(views, found, now=now, show_all=show_all)))


def _live(workspace: "Workspace", channel: str) -> "Live | None":
    """Return what is live in a channel, None if the store does not have it yet."""
    from builder.fleet.judging import Live
    from builder.publishing.state import UnknownChannelError

    try:
        verified = workspace.reader(channel).read().verified
    except UnknownChannelError:
        return None
    return Live(
        channel=channel,
        release=verified.release.release if verified.release else 0,
        timestamp=verified.versions["timestamp"],
        signed_at=verified.signed_at.timestamp(),
    )
