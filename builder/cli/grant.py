"""``writ grant``: approve one request."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.reading import read_input, read_request
from builder.cli.shared import ask_passphrase, format_option, print_json
from policy_core.errors import UsageError

if TYPE_CHECKING:
    from policy_core.decision import Ask
    from policy_core.grants import Grant
    from policy_core.model import Approver
    from policy_core.request import Request


@click.command()
@click.argument("request_file", metavar="REQUEST", type=click.Path(path_type=Path))
@click.argument("answer_file", metavar="ANSWER|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--key", "key_file", type=click.Path(path_type=Path), metavar="FILE", required=True,
    help="Your Ed25519 key: a PEM or OpenSSH file that only you can read.",
)  # fmt: skip
@click.option("--audience", metavar="HOST|any", help="Host the grant is for (default: the one that asks).")
@click.option("--expires", metavar="DURATION", help="How long it is good for, such as 15m (default: all it may).")
@click.option("--yes", is_flag=True, help="Sign without asking once more.")
@format_option
@click.pass_context
def grant(
    context: click.Context,
    request_file: Path,
    answer_file: Path,
    key_file: Path,
    audience: str | None,
    expires: str | None,
    yes: bool,
    output_format: str,
) -> None:
    """Approve the request in the JSON file REQUEST, which a sidecar answered with ANSWER, and print the grant.

    Shows what is approved, and signs it only if the answer is about this very request. Whoever asks adds the grant to
    context.grants of the request and sends it again. Run it in the policy repository: the approvers in writ.yaml of its
    last commit say whose key this is.

    \b
    Example:
      writ-sidecar decide --socket /run/writ/decision.sock --format json request.json > answer.json
      writ grant request.json answer.json --key ~/.config/writ/approvers/ana.pem
    """
    from builder.granting.granting import approver_of, make_grant, read_ask, require_same_request
    from builder.granting.keys import load_key, public_hex
    from policy_core.grants import encode_grant, grant_id

    ask = read_ask(read_input(context.obj, answer_file, "answer"))
    request = require_same_request(ask, read_request(context.obj, request_file))
    key = load_key(context.obj / key_file, passphrase=lambda: _passphrase(key_file))
    approver = approver_of(public_hex(key), _approvers(context.obj), ask, request)
    made = make_grant(ask, approver.key, audience=audience, expires_in_s=_lifetime_s(expires), now=int(time.time()))
    for line in _described(request, ask, approver, made):
        click.echo(line, err=True)
    if not yes and sys.stdin.isatty():
        click.confirm("Approve it?", err=True, abort=True)
    token = encode_grant(made, key.sign)
    if output_format == "json":
        facts = {"approver": approver.id, "audience": made.audience, "expires": made.expires}
        print_json({"grant": token, "id": grant_id(made), **facts})
    else:
        click.echo(token)


def _approvers(directory: Path) -> "tuple[Approver, ...]":
    from builder.simulating.thresholds import project_of
    from builder.source import PolicyRepository

    repository = PolicyRepository.open(directory)
    return project_of("the last commit", repository.tree("HEAD")).approvers


def _passphrase(key_file: Path) -> str:
    return ask_passphrase(f"Passphrase of {key_file}", hint="whoever approves types it: run it on a terminal")


def _lifetime_s(expires: str | None) -> int | None:
    from builder.language.times import duration_s

    if expires is None:
        return None
    seconds = duration_s(expires)
    if not seconds:
        raise UsageError(f"--expires {expires}: not a duration", hint="write it as 90s, 15m or 1h30m")
    return seconds


def _described(request: "Request", ask: "Ask", approver: "Approver", made: "Grant") -> list[str]:
    """Return what is approved, as lines: the request as it is signed, in full and with nothing invisible in it."""
    from builder.language.times import duration_text
    from policy_core.explaining.text import shown
    from policy_core.grants import grant_id

    parts = {name: getattr(request, name) for name in ("subject", "action", "resource", "context")}
    parts["context"] = {name: value for name, value in request.context.items() if name != "grants"}
    return [
        f"approver   {approver.id} ({', '.join(approver.teams)})",
        f"rules      {', '.join(map(shown, ask.rules))}",
        f"missing    {' and '.join(f'{count} of {shown(team)}' for team, count in ask.missing.items())}",
        f"audience   {shown(made.audience)}",
        f"good for   {duration_text(made.expires - made.issued)}, for one answer",
        f"id         {grant_id(made)}",
        "request",
        *json.dumps(parts, indent=2).splitlines(),
    ]
