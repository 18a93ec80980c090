"""``writ emergency``: what one person on call denies or revokes at once, until it expires."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.cli.publish import print_released
from builder.cli.shared import format_option, print_json, progress

if TYPE_CHECKING:
    from builder.publishing.commit import Outcome
    from builder.publishing.publisher import Publisher

Command = TypeVar("Command", bound=Callable[..., Any])

_channel = click.option("--channel", metavar="NAME", required=True, help="Channel it is for.")
_reason = click.option("--reason", metavar="TEXT", required=True, help="Why: one line, signed and shown in answers.")
_expires = click.option("--expires", metavar="WHEN", required=True, help="4h, 30m, 2d, or a time with a zone.")
_id = click.option("--id", "entry_id", metavar="ID", help="Name to lift it by (default: kind and time).")
_KINDS = {"exception": "revoke_exception", "grant": "revoke_grant", "approver": "revoke_approver"}


@click.group()
def emergency() -> None:
    """Deny or revoke something at once, with one on-call key (WRIT_SIGNER_<CHANNEL>_ONCALL).

    An entry only tightens: it outranks every rule, baseline ones included, is named by every answer it decides, is a
    release in the ledger, and ends by itself. Hosts see it with their next poll.
    """


@emergency.command("deny")
@click.argument("match", metavar="MATCH")
@_channel
@_reason
@_expires
@_id
@format_option
@click.pass_context
def deny(
    context: click.Context,
    match: str,
    channel: str,
    reason: str,
    expires: str,
    entry_id: str | None,
    output_format: str,
) -> None:
    """Deny all requests that MATCH describes, written as the match of a rule, in YAML.

    \b
    Example:
      writ emergency deny "actions: [service.restart]" --channel prod --reason "restart loop" --expires 4h
      writ emergency deny "{subject: {ids: [agent-7]}}" --channel prod --reason "runs wild" --expires 30m
    """
    from builder.language.emergencies import read_match
    from policy_core.emergency import encode_deny

    clauses = read_match(match)
    _add(
        context,
        channel,
        "deny",
        reason=reason,
        expires=expires,
        entry_id=entry_id,
        output_format=output_format,
        more=lambda name: {"rule": encode_deny(name, reason=reason.strip(), match=clauses)},
    )


@emergency.command("revoke")
@click.argument("kind", metavar="exception|grant|approver", type=click.Choice(list(_KINDS)))
@click.argument("target", metavar="ID")
@_channel
@_reason
@_expires
@_id
@format_option
@click.pass_context
def revoke(
    context: click.Context,
    kind: str,
    target: str,
    channel: str,
    reason: str,
    expires: str,
    entry_id: str | None,
    output_format: str,
) -> None:
    """Take an exception, a grant (its nonce) or an approver out of force.

    \b
    Example:
      writ emergency revoke exception freeze-payments --channel prod --reason "misused" --expires 2d
      writ emergency revoke approver ana --channel prod --reason "laptop stolen" --expires 7d
    """
    _add(
        context,
        channel,
        _KINDS[kind],
        reason=reason,
        expires=expires,
        entry_id=entry_id,
        output_format=output_format,
        more=lambda _: {"target": target},
    )


@emergency.command("lift")
@click.argument("entry_id", metavar="ID")
@_channel
@_reason
@format_option
@click.pass_context
def lift(context: click.Context, entry_id: str, channel: str, reason: str, output_format: str) -> None:
    """End an entry before it expires.

    \b
    Example:
      writ emergency lift deny-20260301t031500z --channel prod --reason "fixed by release 43"
    """
    from builder.publishing.oncall import lift_emergency
    from builder.publishing.wording import check_reason

    said = check_reason(reason)
    _act(context, channel, output_format, lambda to, actor: lift_emergency(to, entry_id, reason=said, actor=actor))


@emergency.command("list")
@_channel
@format_option
@click.pass_context
def list_(context: click.Context, channel: str, output_format: str) -> None:
    """Show what is in force, verified; signs nothing.

    \b
    Example:
      writ emergency list --channel prod
    """
    from builder.publishing.describing import describe_emergency
    from builder.publishing.publisher import system_clock
    from builder.publishing.workspace import Workspace
    from policy_core.emergency import in_force

    workspace = Workspace.open(context.obj)
    state = workspace.reader(workspace.channel(channel)).read()
    entries = in_force(state.verified.emergency, system_clock().timestamp())
    if output_format == "json":
        print_json({"channel": channel, "emergency": [entry.custom() for entry in entries]})
        return
    for entry in entries:
        click.echo(describe_emergency(entry))
    if not entries:
        click.echo(f"{channel}: nothing is in force")


def _add(
    context: click.Context,
    channel: str,
    kind: str,
    *,
    reason: str,
    expires: str,
    entry_id: str | None,
    output_format: str,
    more: Callable[[str], dict[str, str]],
) -> None:
    from builder.language.emergencies import read_expires
    from builder.publishing.oncall import add_emergency
    from builder.publishing.wording import check_reason
    from policy_core.errors import TrustError, UsageError
    from policy_core.trust.oncall import Emergency, EmergencyKind

    reason = check_reason(reason)

    def act(publisher: "Publisher", actor: str) -> "Outcome":
        now = publisher.clock()
        name = entry_id or f"{kind.replace('_', '-')}-{now:%Y%m%dt%H%M%Sz}"
        try:
            entry = Emergency(
                id=name,
                kind=EmergencyKind(kind),
                reason=reason,
                actor=actor,
                created=now,
                expires=read_expires(expires, now),
                **more(name),
            )
        except TrustError as error:
            raise UsageError(error.message, hint="ids are lower-case letters, digits and '-'") from error
        return add_emergency(publisher, entry)

    _act(context, channel, output_format, act)


def _act(
    context: click.Context, channel: str, output_format: str, act: Callable[["Publisher", str], "Outcome"]
) -> None:
    from builder.publishing.wording import find_actor
    from builder.publishing.workspace import Workspace
    from builder.releasing import act_on_call

    workspace = Workspace.open(context.obj)
    actor = find_actor(workspace.repository.git, workspace.environment)
    progress("signing and publishing …")
    done = act_on_call(workspace, workspace.channel(channel), lambda publisher: act(publisher, actor))
    print_released(done, output_format)
