"""``writ promote`` and ``writ approve``: releases that go on to another channel, and what takes several signatures."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from builder.cli.publish import print_released
from builder.cli.shared import format_option, leave_behind_option, print_json, progress, reviews_option

if TYPE_CHECKING:
    from builder.merging.reviews import ReviewRecord
    from builder.publishing.approve import Review
    from builder.publishing.pending import Waiting
    from builder.publishing.publisher import Publisher
    from builder.publishing.workspace import Workspace


@click.command()
@click.option("--to", metavar="NAME", required=True, help="Channel that gets the release.")
@click.option("--from", "source", metavar="NAME", help="Channel it comes from (default: the one before, in writ.yaml).")
@click.option(
    "--release", "number", type=click.IntRange(min=1), metavar="RELEASE",
    help="Refuse if this is not what is live there.",
)  # fmt: skip
@click.option("--reason", metavar="TEXT", default="", help="Why: one line, signed and kept in the ledger.")
@reviews_option
@leave_behind_option
@format_option
@click.pass_context
def promote(
    context: click.Context,
    to: str,
    source: str | None,
    number: int | None,
    reason: str,
    reviews: "tuple[ReviewRecord, ...]",
    leave_hosts_behind: bool,
    output_format: str,
) -> None:
    """Make the release that is live in one channel the next release of another: the same bytes, never built anew.

    Its commit must come after all that was released there before, and keep to the gates of what is live there. Where
    the channel takes several signatures, the release waits for them: see writ approve.

    \b
    Example:
      writ promote --to prod
      writ promote --to prod --from staging --release 41 --reason "seen in staging since Monday"
    """
    from builder.publishing.wording import check_reason, find_actor
    from builder.publishing.workspace import Workspace
    from builder.releasing import promote_release

    workspace = Workspace.open(context.obj)
    actor = find_actor(workspace.repository.git, workspace.environment)
    to = workspace.channel(to)
    source = workspace.channel_before(to) if source is None else workspace.channel(source)
    progress(f"verifying {source}, building its release again, testing …")
    reason = check_reason(reason) if reason else ""
    done = promote_release(
        workspace,
        to,
        source,
        number=number,
        reason=reason,
        actor=actor,
        reviews=reviews,
        leave_hosts_behind=leave_hosts_behind,
    )
    print_released(done, output_format)


@click.command()
@click.option("--channel", metavar="NAME", required=True, help="Channel whose release waits.")
@click.argument("number", metavar="[NUMBER]", type=click.IntRange(min=1), required=False)
@click.option("--signer", metavar="URI", help="Your key (default: WRIT_SIGNER_<CHANNEL>, or the channel's key file).")
@click.option("--expect", metavar="DIGEST", help="Refuse if this is not the document (its digest, as --show has it).")
@click.option("--yes", is_flag=True, help="Do not ask; then --expect says what you have seen.")
@click.option("--show", is_flag=True, help="Check and show what waits; sign nothing.")
@click.option("--complete", is_flag=True, help="Sign nothing; make live what has all its signatures (publishers).")
@reviews_option
@format_option
@click.pass_context
def approve(
    context: click.Context,
    channel: str,
    number: int | None,
    signer: str | None,
    expect: str | None,
    yes: bool,
    show: bool,
    complete: bool,
    reviews: "tuple[ReviewRecord, ...]",
    output_format: str,
) -> None:
    """Check a release that waits for signatures, show what it would change, and sign it with your key.

    Nothing is taken on trust: the bundle is built again from its commit and compared, policy tests and the gates of
    what is live are run here, and the document must be what a publisher would propose on top of what is live. With the
    last signature it goes live, if the publisher's keys are here, too.

    \b
    Example:
      writ approve --channel prod --show
      writ approve --channel prod --signer file:/home/ana/.config/writ/ana.pem
      writ approve --channel prod --complete
    """
    from builder.publishing.reviewing import require_document
    from builder.publishing.workspace import Workspace
    from builder.releasing import complete_pending
    from policy_core.errors import UsageError

    if yes and expect is None:
        hint = "add --expect and the digest that `writ approve --show` has shown you"
        raise UsageError("approve --yes: says nothing about what is approved", hint=hint)
    if sum((complete, show, signer is not None or yes)) > 1:
        raise UsageError("approve: --show, --complete and signing exclude each other")
    workspace = Workspace.open(context.obj)
    publisher = _with_signer(workspace.publisher(workspace.channel(channel)), signer)
    if complete:
        print_released(complete_pending(workspace, publisher, number=number), output_format)
    else:
        reviewed = _review(workspace, publisher, number, reviews)
        if expect is not None:
            require_document(reviewed, expect)
        _decide(workspace, publisher, reviewed, sign=not show, ask=not yes, output_format=output_format)


def _review(
    workspace: "Workspace", publisher: "Publisher", number: int | None, reviews: "tuple[ReviewRecord, ...]"
) -> "Review":
    from builder.releasing import review_pending

    progress("verifying the store, building the release again, testing …")
    return review_pending(workspace, publisher, number=number, reviews=reviews)


def _decide(
    workspace: "Workspace", publisher: "Publisher", reviewed: "Review", *, sign: bool, ask: bool, output_format: str
) -> None:
    from builder.publishing.approve import approve as sign_reviewed
    from builder.releasing import complete_pending

    if output_format == "text" or (sign and ask):
        _describe(workspace, reviewed, to_stderr=output_format != "text")
    waiting = reviewed.waiting
    if sign:
        if ask:
            _confirm(f"Sign pending/{publisher.channel}/{waiting.version}.json?")
        waiting = sign_reviewed(publisher, reviewed)
    if sign and waiting.is_complete and all(map(publisher.key_ring.has, ("snapshot", "timestamp"))):
        print_released(complete_pending(workspace, publisher, number=waiting.version), output_format)
    elif output_format == "json":
        print_json(_record(workspace, replace(reviewed, waiting=waiting)))
    elif sign:
        click.echo(_progress(publisher, waiting))


def _confirm(question: str) -> None:
    """Return if the answer is yes; raises click.Abort if it is no, UsageError if there is nobody who could answer."""
    from policy_core.errors import UsageError

    try:
        if click.confirm(question, err=True):
            return
    except click.Abort:
        if not sys.stdin.isatty():
            click.echo(err=True)
            hint = "add --yes, and --expect with the digest that `writ approve --show` has shown you"
            raise UsageError("approve: there is no terminal to ask on", hint=hint) from None
        raise
    raise click.Abort


def _with_signer(publisher: "Publisher", signer: str | None) -> "Publisher":
    """Return the publisher with `signer` as the channel's key."""
    from builder.publishing.keys import signer_variable

    if signer is None:
        return publisher
    environment = {**publisher.key_ring.environment, signer_variable(publisher.channel): signer}
    return replace(publisher, key_ring=replace(publisher.key_ring, environment=environment))


def _progress(publisher: "Publisher", waiting: "Waiting") -> str:
    have = f"signed: {len(waiting.signed)} of {waiting.threshold} signatures"
    if not waiting.is_complete:
        return f"{have}; more: writ approve --channel {publisher.channel} {waiting.version}"
    return f"{have}; a publisher makes it live: writ approve --channel {publisher.channel} --complete"


def _describe(workspace: "Workspace", reviewed: "Review", *, to_stderr: bool) -> None:
    from builder.publishing.reviewing import describe_review

    for line in describe_review(workspace.repository, reviewed):
        click.echo(line, err=to_stderr)


def _record(workspace: "Workspace", reviewed: "Review") -> dict[str, Any]:
    from builder.publishing.reviewing import review_record

    return review_record(workspace.repository, reviewed)
