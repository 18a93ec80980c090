"""``writ explain``: why a request gets its answer."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.marks import echo_marked
from builder.cli.reading import read_request
from builder.cli.shared import format_option, print_json
from policy_core.errors import UsageError

if TYPE_CHECKING:
    from builder.compiling import Compiled

MAX_COUNT_DIGITS = 9
MAX_NAMED = 10


@click.command()
@click.argument("request_file", metavar="REQUEST|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--rev", "revision", metavar="REV", help="Explain the policies of a commit (default: the work tree).")
@click.option("--now", metavar="TIME", help="Time of the request, such as 2026-11-01T12:00:00Z (default: now).")
@click.option("--host", "labels", metavar="KEY=VALUE", multiple=True, help="A label of the host; may be repeated.")
@click.option(
    "--counted", "counts", metavar="RULE=N", multiple=True,
    help="Take it that a rule with a rate has counted N allowed requests; may be repeated.",
)  # fmt: skip
@click.option(
    "--approved-by", "approvers", metavar="NAME", multiple=True,
    help="Take it that this approver has granted the request; may be repeated.",
)  # fmt: skip
@format_option
@click.pass_context
def explain(
    context: click.Context,
    request_file: Path,
    revision: str | None,
    now: str | None,
    labels: tuple[str, ...],
    counts: tuple[str, ...],
    approvers: tuple[str, ...],
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
      writ explain request.json --counted agents/restart-limit=3 --approved-by ana
    """
    from builder.cli.trees import described_tree, read_tree
    from builder.compiling import compile_tree
    from builder.explaining import describe_explanation, explanation_record, matcher_for
    from policy_core.explaining import explain as explain_request
    from policy_core.memory import Assumed
    from policy_core.request import normalise

    request = normalise(read_request(context.obj, request_file), now=_seconds(now), host=_labels(labels))
    compiled = compile_tree(read_tree(context.obj, revision), today=None)
    matcher = matcher_for(compiled.rules, compiled.provisions, compiled.tree.revision)
    memory = Assumed(_counted(counts, compiled), _approved_by(approvers, compiled))
    explanation = explain_request(matcher, request, memory=memory)
    places = compiled.places()
    if output_format == "json":
        print_json(explanation_record(explanation, places))
    else:
        for line in describe_explanation(explanation, places, described_tree(compiled.tree)):
            echo_marked(line)


def _seconds(moment: str | None) -> float:
    """Return seconds since the epoch of a time with its zone; now, if none is given."""
    from builder.language.fields import MOMENT_HINT, parse_moment

    if moment is None:
        return time.time()
    seconds = parse_moment(moment)
    if seconds is None:
        raise UsageError(f"--now {moment}: not a time with its zone", hint=MOMENT_HINT)
    return seconds


def _counted(pairs: Iterable[str], compiled: "Compiled") -> dict[str, int]:
    rated = [rule.name for rule in compiled.rules if rule.rate is not None]
    counted = {}
    for pair in pairs:
        rule, _, count = pair.partition("=")
        if not count.isdecimal() or len(count) > MAX_COUNT_DIGITS:
            raise UsageError(f"--counted {pair}: not a number for a rule", hint="write it as --counted agents/limit=3")
        if rule not in rated:
            hint = f"rules with a rate: {', '.join(rated[:MAX_NAMED])}" if rated else "no rule has a rate"
            raise UsageError(f"--counted {pair}: no such rule with a rate", hint=hint)
        counted[rule] = int(count)
    return counted


def _approved_by(names: tuple[str, ...], compiled: "Compiled") -> tuple[str, ...]:
    known = [approver.id for approver in compiled.project.approvers]
    for name in names:
        if name not in known:
            hint = f"there are: {', '.join(known[:MAX_NAMED])}" if known else "list people under approvers in writ.yaml"
            raise UsageError(f"--approved-by {name}: no such approver", hint=hint)
    return names


def _labels(pairs: Iterable[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--host {pair}: not a label", hint="write it as --host env=prod")
        labels[name] = value
    return labels
