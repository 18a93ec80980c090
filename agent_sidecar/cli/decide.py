"""``writ-sidecar decide``, ``explain`` and ``simulate``: how a request is answered, why, and how it would be."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import msgspec

from agent_sidecar.cli.shared import (
    DIRECTORY,
    PATH,
    admin,
    config_option,
    format_option,
    print_json,
    request_in,
    state_option,
)
from agent_sidecar.texts import answer_text, explanation_text, simulation_text
from policy_core.decision import Answer
from policy_core.errors import UsageError


@click.command()
@click.option("--socket", type=PATH, metavar="PATH", help="Ask the sidecar behind this decision socket.")
@click.option("--state", type=DIRECTORY, metavar="DIR", help="Answer from the snapshot on disk, without a daemon.")
@format_option
@click.argument("request_file", type=click.File("rb"), metavar="FILE|-")
def decide(socket: Path | None, state: Path | None, output_format: str, request_file: Any) -> None:
    """Answer one request. The exit code is 0 for every decision: read the decision, not the code.

    With --state nothing is remembered: every rate is unreached, nothing is counted, and no grant is accepted.

    \b
    Example:
      writ-sidecar decide --socket /run/writ/decision.sock request.json
      echo '{"job": {"topic": "service.restart"}}' | writ-sidecar decide --state /var/lib/writ -
    """
    body = request_in(request_file)
    if (socket is None) == (state is None):
        raise UsageError("decide: expected either --socket or --state")
    if socket:
        from agent_sidecar.calling import decide as ask

        answer = ask(socket, body)
    else:
        answer = msgspec.to_builtins(_answer_in_process(state or Path(), body))
        click.echo("note: without the daemon every rate is unreached, nothing is counted, no grant accepted", err=True)
    if output_format == "json":
        print_json(answer)
    else:
        click.echo(answer_text(answer))


@click.command()
@state_option
@config_option
@format_option
@click.argument("request_file", type=click.File("rb"), metavar="FILE|-")
def explain(state: Path | None, config: Path | None, output_format: str, request_file: Any) -> None:
    """Show why a running sidecar answers one request as it does, and what would have to change for another decision.

    It goes through the admin socket, as it tells what a prober would like to know. Nothing is counted, no grant is
    spent. The exit code is 0 for every decision.

    \b
    Example:
      writ-sidecar explain --state /var/lib/writ request.json
    """
    record = admin(state, config, "POST", "/api/v1/policy/explain", request_in(request_file))
    if output_format == "json":
        print_json(record)
    else:
        click.echo(explanation_text(record))


@click.command()
@state_option
@config_option
@click.option(
    "--snapshot",
    type=click.Choice(["in_force", "current", "previous"]),
    default="in_force",
    show_default=True,
    help="The policy to ask.",
)
@click.option("--now", metavar="TIME", help="Suppose it is then, such as 2026-03-01T12:00:00Z.  [default: now]")
@format_option
@click.argument("request_file", type=click.File("rb"), metavar="FILE|-")
def simulate(
    state: Path | None, config: Path | None, snapshot: str, now: str | None, output_format: str, request_file: Any
) -> None:
    """Show how a running sidecar would answer one request: by another of its snapshots, at another time.

    It goes through the admin socket, as explain does. Nothing is counted, no grant is spent; rates are as they are at
    present. The exit code is 0 for every decision.

    \b
    Example:
      writ-sidecar simulate --state /var/lib/writ --snapshot previous request.json
    """
    supposed = urlencode({"snapshot": snapshot} | ({"now": now} if now else {}))
    found = admin(state, config, "POST", f"/api/v1/policy/simulate?{supposed}", request_in(request_file))
    if output_format == "json":
        print_json(found)
    else:
        click.echo(simulation_text(found))


def _answer_in_process(state: Path, body: bytes) -> Answer:
    from agent_sidecar.inspecting import answer
    from policy_core.decoding import decode_request

    return answer(state, decode_request(body))
