"""``writ live``: what is, or was, live in a channel, from the verified store."""

import sys
from typing import TYPE_CHECKING, Any

import click

from builder.cli.shared import channel_option, format_option, print_json, progress

if TYPE_CHECKING:
    from builder.ledger.moments import Interval


@click.command()
@channel_option
@click.option("--at", "when", metavar="WHEN", help="A moment (2026-03-01T14:30:00Z), or a whole UTC day (2026-03-01).")
@click.option("--path", metavar="PATH", help="Print this file of the policy as it was then.")
@click.option("--verify", is_flag=True, help="Hold the branch live/NAME against the signed history, commit by commit.")
@format_option
@click.pass_context
def live(
    context: click.Context, channel: str | None, when: str | None, path: str | None, verify: bool, output_format: str
) -> None:  # fmt: skip
    """Tell which release was live: who published it, when, from which commit, and why.

    The answer is read from the store and verified from trust/root.json down. Plain git gives the same one:
    git log -1 --first-parent --before=2026-03-01T23:59:59Z live/prod

    \b
    Example:
      writ live
      writ live --channel prod --at 2026-03-01 --verify
      writ live --channel prod --at 2026-03-01T14:30:00Z --path policies/restart.yaml
    """
    from builder.auditing import file_at, look_up
    from builder.publishing.describing import describe_standing, standing_record
    from builder.publishing.workspace import Workspace

    workspace = Workspace.open(context.obj)
    progress("reading and verifying the store …")
    answer = look_up(workspace, workspace.channel(channel), when=when, verify=verify)
    if path is not None:
        found, content = file_at(workspace.repository.git, answer, path)
        if output_format == "json":
            print_json({"path": path, "content": content.decode(errors="replace")} | _record(found))
        else:
            sys.stdout.buffer.write(content)
        return
    if answer.standing and answer.standing.warning:
        click.echo(f"warning: {answer.standing.warning}", err=True)
    if output_format == "json":
        standing = standing_record(answer.standing) if answer.standing else {}
        ledger = {"ledger": answer.ledger} if answer.ledger else {}
        intervals = [_record(found) for found in answer.intervals]
        print_json({"channel": answer.channel, "intervals": intervals, **standing, **ledger})
        return
    for found in answer.intervals:
        _describe(found)
    if answer.standing:
        for line in describe_standing(answer.channel, answer.standing):
            click.echo(line)
    if not answer.intervals:
        click.echo(f"{answer.channel}: the channel did not exist then")
    if answer.ledger:
        click.echo(
            f"ledger    live/{answer.channel} agrees up to release {answer.ledger.releases}, at {answer.ledger.tip}"
        )


def _record(found: "Interval") -> dict[str, Any]:
    from builder.publishing.describing import release_record
    from policy_core.trust.layout import format_time

    end = format_time(found.end) if found.end else None
    release = release_record(found.release) if found.release else None
    return {
        "from": format_time(found.start),
        "until": end,
        "release": release,
        "approved_by": found.approved_by,
        "brought_emergency": [entry.custom() for entry in found.emergency],
    }


def _describe(found: "Interval") -> None:
    from builder.publishing.describing import describe_release, spell_span

    span = spell_span(found.start, found.end)
    if found.release is None:
        click.echo(f"no release ({span})")
        return
    click.echo(f"{found.release.channel}: release {found.release.release} ({found.release.action}), live {span}")
    for line in describe_release(found.release):
        click.echo(line)
    if found.approved_by:
        click.echo(f"approved  {', '.join(found.approved_by)}")
