"""``writ verify``: a real client's view of the store, its history, and its ledger."""

import click

from builder.cli.shared import channel_option, format_option, print_json, progress


@click.command()
@channel_option
@format_option
@click.pass_context
def verify(context: click.Context, channel: str | None, output_format: str) -> None:
    """Verify a channel from trust/root.json down: signatures, expiry, the live bundle, all history, and the ledger.

    Warns on stderr before something expires.

    \b
    Example:
      writ verify
      writ verify --channel prod --format json
    """
    from builder.auditing import verify_channel
    from builder.publishing.describing import count, release_record
    from builder.publishing.workspace import Workspace
    from policy_core.trust.layout import format_time

    workspace = Workspace.open(context.obj)
    progress("verifying the store, its history and the ledger …")
    verified = verify_channel(workspace, workspace.channel(channel))
    for warning in verified.warnings:
        click.echo(f"warning: {warning}", err=True)
    if output_format == "json":
        print_json(
            {
                "channel": verified.channel,
                "signed_at": format_time(verified.state.signed_at),
                "expires": {role: format_time(time) for role, time in verified.state.expires.items()},
                "versions": verified.state.versions,
                "releases": [
                    {"from": format_time(found.start), **release_record(found.release)}
                    for found in verified.intervals
                    if found.release
                ],
                "ledger": verified.ledger,
            }
        )
        return
    for found in verified.intervals:
        if found.release:
            release = found.release
            click.echo(
                f"{format_time(found.start)}  release {release.release}  {release.action}  {release.revision[:12]}"
                f"  {release.actor}" + (f"  ({release.reason})" if release.reason else "")
            )
    for role, time in verified.state.expires.items():
        click.echo(f"{role} version {verified.state.versions[role]} expires {format_time(time)}")
    ledger = verified.ledger
    click.echo(f"{verified.channel}: verified, {count(ledger.releases, 'release')}, ledger at {ledger.tip}")
