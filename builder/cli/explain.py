"""``writ explain``: why a request gets its answer."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import format_option, print_json
from policy_core.errors import UsageError

MAX_REQUEST_BYTES = 2**20


@click.command()
@click.argument("request_file", metavar="REQUEST|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--rev", "revision", metavar="REV", help="Explain the policies of a commit (default: the work tree).")
@click.option("--now", metavar="TIME", help="Time of the request, such as 2026-11-01T12:00:00Z (default: now).")
@click.option("--host", "labels", metavar="KEY=VALUE", multiple=True, help="A label of the host; may be repeated.")
@format_option
@click.pass_context
def explain(
    context: click.Context,
    request_file: Path,
    revision: str | None,
    now: str | None,
    labels: tuple[str, ...],
    output_format: str,
) -> None:
    """Answer the request in the JSON file REQUEST (either form; '-' reads stdin), and show the rules near it.

    Each rule is shown clause by clause with what it wants and what the request has: first the rules that apply or
    could not be evaluated, then those that came closest. At the end stands what would have to change for another
    decision; each of these was decided before it is shown.

    \b
    Example:
      writ explain request.json
      echo '{"job": {"topic": "job.deploy"}}' | writ explain --host env=prod -
    """
    from builder.cli.trees import described_tree, read_tree
    from builder.compiling import compile_tree
    from builder.explaining import describe_explanation, explanation_record, matcher_for
    from policy_core.explaining import explain as explain_request
    from policy_core.request import normalise

    request = normalise(_read_request(context.obj, request_file), now=_seconds(now), host=_labels(labels))
    compiled = compile_tree(read_tree(context.obj, revision), today=None)
    matcher = matcher_for(compiled.rules, compiled.provisions, compiled.tree.revision)
    explanation = explain_request(matcher, request)
    places = compiled.places()
    if output_format == "json":
        print_json(explanation_record(explanation, places))
    else:
        for line in describe_explanation(explanation, places, described_tree(compiled.tree)):
            echo_marked(line)


def _read_request(directory: Path, file: Path) -> Any:
    from policy_core.decoding import decode_request
    from policy_core.request import RequestError

    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
        else:
            with (directory / file).open("rb") as stream:
                content = stream.read(MAX_REQUEST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror})", hint="name a JSON file, or '-' for stdin"
        ) from error
    if len(content) > MAX_REQUEST_BYTES:
        raise UsageError(f"{file}: request is too large (limit {MAX_REQUEST_BYTES} bytes)", hint="send less of it")
    try:
        return decode_request(content)
    except RequestError as error:
        raise UsageError(f"{file}: {error.message}", hint=error.hint) from error


def _seconds(moment: str | None) -> float:
    """Return seconds since the epoch of a time with its zone; now, if none is given."""
    from builder.language.fields import MOMENT_HINT, parse_moment

    if moment is None:
        return time.time()
    seconds = parse_moment(moment)
    if seconds is None:
        raise UsageError(f"--now {moment}: not a time with its zone", hint=MOMENT_HINT)
    return seconds


def _labels(pairs: Iterable[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--host {pair}: not a label", hint="write it as --host env=prod")
        labels[name] = value
    return labels
