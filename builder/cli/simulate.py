"""``writ simulate``: what a change would have decided otherwise."""

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import channel_option, format_option, print_json, progress
from policy_core.errors import UsageError

LIVE = "live"


@click.command()
@click.option("--from", "before", metavar="REV|live", default=LIVE, show_default=True, help="Compare with this commit.")
@click.option("--to", "after", metavar="REV", help="Simulate this commit (default: HEAD).")
@click.option("--worktree", is_flag=True, help="Simulate what is not committed yet.")
@channel_option
@click.option(
    "--corpus", "of", type=click.Choice(["to", "from"]), default="to", show_default=True,
    help="Replay the requests of this side.",
)  # fmt: skip
@click.option(
    "--examples", type=click.IntRange(0, 1000), default=3, show_default=True, metavar="N",
    help="Requests to show of each group.",
)  # fmt: skip
@click.option(
    "--max-flips-percent", type=click.FloatRange(0, 100), metavar="P",
    help="Exit with 4 if more than P percent of the requests flip.",
)  # fmt: skip
@click.option(
    "--max-widened", type=click.IntRange(0), metavar="N",
    help="Exit with 4 if more than N requests are widened or changed.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True, help="Exit with 4 if gates.simulation of the compared revision would refuse this."
)
@format_option
@click.pass_context
def simulate(
    context: click.Context,
    before: str,
    after: str | None,
    worktree: bool,
    channel: str | None,
    of: str,
    examples: int,
    max_flips_percent: float | None,
    max_widened: int | None,
    check: bool,
    output_format: str,
) -> None:
    """Replay the requests in corpus/ on two revisions and report each flip of decision or constraints.

    A flip is widened (more is permitted than before), narrowed, or changed (some bounds looser, others tighter).
    Flips are grouped by the rules that decided before and after. --check judges as `writ publish` would.

    \b
    Example:
      writ simulate
      writ simulate --worktree
      writ simulate --from v1.4 --to v1.5 --max-widened 0
    """
    from builder.cli.trees import described_tree
    from builder.language.project import SimulationGate
    from builder.simulating.corpus import Corpus
    from builder.simulating.live import find_live
    from builder.simulating.replaying import compile_side, load_side, side_of
    from builder.simulating.replaying import simulate as replay
    from builder.simulating.report import describe_simulation, simulation_record
    from builder.simulating.thresholds import require_configured_gate, require_within
    from builder.source import PolicyRepository

    if worktree and after is not None:
        raise UsageError("--worktree: simulates what is not committed", hint="leave out --to, or --worktree")
    repository = PolicyRepository.open(context.obj)
    if before == LIVE:
        live = find_live(context.obj, channel, or_ledger=not check)
        label, revision = live.label, live.revision
        if live.note:
            click.echo(f"note: {live.note}", err=True)
    else:
        revision = repository.resolve(before)
        label = f"commit {revision[:12]}"
    tree = repository.worktree() if worktree else repository.tree(after or "HEAD")
    old, compiled = load_side(label, repository.tree(revision)), compile_side(described_tree(tree), tree)
    new = side_of(described_tree(tree), compiled)
    progress("replaying …")
    asked = old.tree if of == "from" else tree
    simulation = replay(Corpus(asked), old, new)
    if not simulation.total:
        raise UsageError(
            f"corpus/: no recorded requests in the {described_tree(asked)}",
            hint="put requests into corpus/, one JSON object a line, such as corpus/agents.jsonl",
        )
    if output_format == "json":
        print_json(simulation_record(simulation, old, new, examples=examples))
    else:
        for line in describe_simulation(simulation, old, new, examples=examples):
            echo_marked(line)
    require_within(SimulationGate(max_flips_percent, max_widened), simulation)
    if check:
        require_configured_gate(label, old.tree, compiled)
