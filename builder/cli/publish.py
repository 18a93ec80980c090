"""``writ publish``, ``writ rollback`` and ``writ maintain``: what changes the store."""

from typing import TYPE_CHECKING

import click

from builder.cli.shared import (
    channel_option,
    format_option,
    leave_behind_option,
    print_json,
    progress,
    reviews_option,
)

if TYPE_CHECKING:
    from builder.merging.reviews import ReviewRecord
    from builder.releasing import Released


@click.command()
@channel_option
@click.argument("revision", metavar="[REV]", default="HEAD")
@reviews_option
@leave_behind_option
@format_option
@click.pass_context
def publish(
    context: click.Context,
    channel: str | None,
    revision: str,
    reviews: "tuple[ReviewRecord, ...]",
    leave_hosts_behind: bool,
    output_format: str,
) -> None:
    """Check, test, build and sign the commit REV (default: HEAD) and make it live in a channel.

    The commit must descend from all that was published there before, and keep to the gates of what is live. What is
    live already, or changes no policy, is nothing to do. WRIT_ACTOR names who publishes (default: the git identity).

    \b
    Example:
      writ publish
      writ publish --channel prod v1.4
      writ publish --reviews reviews.json
    """
    from builder.cli.trees import note_uncommitted
    from builder.publishing.wording import find_actor
    from builder.publishing.workspace import Workspace
    from builder.releasing import publish_commit

    workspace = Workspace.open(context.obj)
    actor = find_actor(workspace.repository.git, workspace.environment)
    note_uncommitted(workspace.repository, workspace.repository.resolve(revision))
    progress("checking, testing and publishing …")
    done = publish_commit(
        workspace,
        workspace.channel(channel),
        revision,
        actor=actor,
        reviews=reviews,
        leave_hosts_behind=leave_hosts_behind,
    )
    print_released(done, output_format)


@click.command()
@click.option("--channel", metavar="NAME", required=True, help="Channel to roll back.")
@click.option(
    "--to", type=click.IntRange(min=1), metavar="RELEASE",
    help="Any release that ever was live (default: the newest earlier one with another policy).",
)  # fmt: skip
@click.option("--reason", metavar="TEXT", required=True, help="Why: one line, signed and kept in the ledger.")
@click.option("--propose", is_flag=True, help="Leave it for approvers to sign, even if an on-call key is here.")
@format_option
@click.pass_context
def rollback(
    context: click.Context, channel: str, to: int | None, reason: str, propose: bool, output_format: str
) -> None:
    """Make an earlier release live again on all hosts, as a new, higher release.

    Works whatever state the newest policies are in. Without --to, a second rollback goes one policy further back. Where
    the keys here are not enough for the channel, one on-call key (WRIT_SIGNER_<CHANNEL>_ONCALL) is, to go back to one
    of its last releases. Where several people sign and there is no such key, it waits for them (see writ approve).

    \b
    Example:
      writ rollback --channel prod --reason "denies every restart"
      writ rollback --channel prod --to 12 --reason "back to before the freeze"
    """
    from builder.publishing.wording import check_reason, find_actor
    from builder.publishing.workspace import Workspace
    from builder.releasing import publish_rollback

    reason = check_reason(reason)
    workspace = Workspace.open(context.obj)
    actor = find_actor(workspace.repository.git, workspace.environment)
    progress("rolling back …")
    done = publish_rollback(workspace, workspace.channel(channel), to=to, reason=reason, actor=actor, propose=propose)
    print_released(done, output_format)


@click.command()
@format_option
@click.pass_context
def maintain(context: click.Context, output_format: str) -> None:
    """Sign anew whatever expires soon, root and targets included; run it every week.

    Everything within 60 days of its end, the timestamp within 14, gets a new version with the same keys, in one commit.
    It releases nothing. Roles whose keys are not here become warnings.

    \b
    Example:
      writ maintain
    """
    from builder.publishing.workspace import Workspace
    from builder.releasing import maintain_store

    workspace = Workspace.open(context.obj)
    progress("reading the store and signing …")
    maintained = maintain_store(workspace)
    for warning in maintained.warnings:
        click.echo(f"warning: {warning}", err=True)
    if output_format == "json":
        print_json({"renewed": maintained.renewed})
        return
    for role in maintained.renewed:
        click.echo(f"{role}: signed anew")
    if not maintained.renewed:
        click.echo("nothing was signed" if maintained.warnings else "nothing is due")


def print_released(released: "Released", output_format: str) -> None:
    """Print how a publish, promotion or rollback ended."""
    from builder.publishing.describing import describe_release, release_record
    from policy_core.trust.layout import pending_object

    outcome, ledger = released.outcome, released.ledger
    for warning in released.warnings:
        click.echo(f"warning: {warning}", err=True)
    if output_format == "json":
        optional = {"note": outcome.note, "pending": outcome.pending}
        record = {"committed": outcome.committed, **{name: value for name, value in optional.items() if value}}
        live = {"release": release_record(outcome.release)} if outcome.release else {}
        print_json(record | live | {"ledger": {"branch": f"live/{ledger.channel}", "commit": ledger.tip}})
        return
    release = outcome.release
    if outcome.note:
        click.echo(outcome.note)
    elif release:
        where = f"waits for signatures as {pending_object(release.channel, outcome.pending)}"
        click.echo(
            f"{release.channel}: release {release.release} ({release.action}) {where if outcome.pending else 'is live'}"
        )
        for line in describe_release(release):
            click.echo(line)
        if outcome.pending:
            click.echo(f"next      approvers run: writ approve --channel {release.channel} {outcome.pending}")
    if ledger.added:
        click.echo(f"ledger    live/{ledger.channel} {ledger.tip}")
