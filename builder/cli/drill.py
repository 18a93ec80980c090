"""``writ drill``: rehearse what is hoped never to be needed."""

from typing import TYPE_CHECKING, Any

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import channel_option, format_option, print_json, progress

if TYPE_CHECKING:
    from builder.drilling.rollback import Drill, Step


@click.group()
def drill() -> None:
    """Rehearse an emergency, so that it works when it is one."""


@drill.command("rollback")
@channel_option
@format_option
@click.pass_context
def rollback(context: click.Context, channel: str | None, output_format: str) -> None:
    """Rehearse an on-call rollback and an emergency deny, and print the seconds of each step.

    The store is only read. All that is signed is signed with throw-away keys, on a copy that is gone afterwards. Says
    what would be missing in earnest, such as keys that are not here, and then ends with the exit code of the first.

    \b
    Example:
      writ drill rollback
      writ drill rollback --channel prod --format json
    """
    from builder.drilling.rollback import drill_rollback
    from builder.publishing.workspace import Workspace

    workspace = Workspace.open(context.obj)
    progress("reading the store, rehearsing on a copy …")
    done = drill_rollback(workspace, workspace.channel(channel))
    if output_format == "json":
        print_json(_record(done))
    else:
        _describe(done)
    if done.missing:
        raise done.missing[0]


def _record(done: "Drill") -> dict[str, Any]:
    from builder.publishing.describing import release_record

    return {
        "channel": done.channel,
        "ready": not done.missing,
        "live": release_record(done.live),
        "target": release_record(done.target) if done.target else None,
        "round_trip_s": round(done.round_trip_s, 6),
        "seconds_in_earnest": round(done.seconds_in_earnest, 6),
        "read": [_step_record(step) for step in done.reading],
        "rehearsed": [_step_record(step) for step in done.rehearsed],
        "missing": [
            {"message": error.message, "hint": error.hint, "exit_code": error.exit_code} for error in done.missing
        ],
        "untried": done.untried,
    }


def _step_record(step: "Step") -> dict[str, Any]:
    counted = {} if step.requests is None else {"requests": step.requests}
    return {"step": step.name, "seconds": round(step.seconds, 6), **counted}


def _describe(done: "Drill") -> None:
    from builder.publishing.describing import count

    goes_to = f"would go back to release {done.target.release}" if done.target else "has nowhere to go back to"
    click.echo(f"{done.channel}: release {done.live.release} is live; one person on call {goes_to}")
    click.echo("on the store, which was only read:")
    click.echo(_line("round trip of one request", done.round_trip_s))
    for step in done.reading:
        click.echo(_line(step.name, step.seconds))
    if done.rehearsed:
        click.echo("on a copy with throw-away keys:")
    for step in done.rehearsed:
        click.echo(_line(step.name, step.seconds) + f"  {count(step.requests or 0, 'request')}")
    if done.rehearsed:
        click.echo(f"in earnest, about {done.seconds_in_earnest:.2f} s until hosts that poll can see the first of them")
    for name in done.untried:
        echo_marked(f"! not tried: the key of {name}")
    for error in done.missing:
        echo_marked(f"✗ missing: {error.message}")
        if error.hint:
            click.echo(f"  hint: {error.hint}")
    if not done.missing:
        echo_marked("✓ nothing is missing")


def _line(name: str, seconds: float) -> str:
    return f"  {name:<44} {seconds:8.3f} s"
