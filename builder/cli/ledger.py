"""``writ ledger``: the branch that says what was live when."""

import click

from builder.cli.shared import channel_option, format_option, print_json, progress


@click.group()
def ledger() -> None:
    """Keep the branches live/CHANNEL in step with the signed history."""


@ledger.command()
@channel_option
@format_option
@click.pass_context
def sync(context: click.Context, channel: str | None, output_format: str) -> None:
    """Derive the ledger of a channel from the signed history in the store, and push it if there is an origin.

    Every clone derives the same commits. A branch that disagrees is left alone, and is an error.

    \b
    Example:
      writ ledger sync --channel prod
    """
    from builder.publishing.describing import count
    from builder.publishing.workspace import Workspace
    from builder.releasing import sync_ledger

    workspace = Workspace.open(context.obj)
    progress("reading the history and deriving the ledger …")
    synced = sync_ledger(workspace, workspace.channel(channel))
    if output_format == "json":
        print_json(synced)
    else:
        click.echo(
            f"live/{synced.channel}: {count(synced.releases, 'release')}, {count(synced.added, 'commit')} added, "
            f"at {synced.tip}"
        )
