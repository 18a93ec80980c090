"""``writ test``: run the policy tests."""

import sys
from functools import partial
from pathlib import Path

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import format_option, print_json
from builder.cli.watching import saves
from builder.cli.writing import write_file
from policy_core.errors import KnownError, UsageError, report

_WATCHED = ("writ.yaml", "policies", "classify", "data", "exceptions", "schemas", "tests")


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@click.option(
    "--filter", "wanted", metavar="TEXT", default="",
    help="Run only cases with TEXT in their name, their suite's name or file, or the rule they expect.",
)  # fmt: skip
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the results there as JUnit XML too.",
)  # fmt: skip
@click.option("--coverage", is_flag=True, help="Show which rules and clauses no test covers; see gates in writ.yaml.")
@click.option("--mutate", is_flag=True, help="Change one thing in a rule at a time and show changes no test notices.")
@click.option("--watch", is_flag=True, help="Run again whenever a file is saved, until interrupted.")
@format_option
@click.pass_context
def test(
    context: click.Context, revision: str | None, wanted: str, junit: Path | None, coverage: bool, mutate: bool,
    watch: bool, output_format: str,
) -> None:  # fmt: skip
    """Run the policy tests of the work tree, or those of the commit REV, with the matcher that runs on hosts.

    Exits with 4 if a test fails, naming what was expected, what came, and the rule that decided. With --coverage also
    if the tests cover less than gates.coverage in writ.yaml asks for, with --mutate also if they miss a change.

    \b
    Example:
      writ test
      writ test --watch --filter restart
      writ test --coverage --mutate
      writ test --junit tests.xml HEAD
    """
    for option, given in (("--coverage", coverage), ("--mutate", mutate)):
        if wanted and given:
            raise UsageError(f"{option}: is about all tests, not a part of them", hint="leave out --filter")
    if watch and revision:
        raise UsageError("--watch: a commit never changes", hint="leave out REV")
    from builder.source import PolicyRepository

    run = partial(_run, context.obj, revision, wanted, junit, coverage, mutate, output_format)
    folder: str | None = PolicyRepository.open(context.obj).git.workdir if watch else None
    if folder is None:  # a bare repository has none; running says so
        run()
        return
    for _ in saves(Path(folder), _WATCHED):
        try:
            run()
        except KnownError as error:  # the next save may put it right
            for line in report(error):
                click.echo(line, err=True)


def _run(
    directory: Path, revision: str | None, wanted: str, junit: Path | None, coverage: bool, mutate: bool,
    output_format: str,
) -> None:  # fmt: skip
    """Run the tests once, print the results, and raise what makes the command fail."""
    from builder import policytest
    from builder.cli.trees import read_tree
    from builder.compiling import compile_tree

    compiled = compile_tree(read_tree(directory, revision), today=None)
    results = policytest.run_suites(compiled, wanted=wanted)
    if junit:
        write_file(directory / junit, policytest.junit_xml(results), option="--junit")
    record, lines = policytest.report_record(results), [*policytest.describe_report(results)]
    covered = policytest.measure_coverage(compiled, results) if coverage else None
    if covered:
        record["coverage"] = policytest.coverage_record(covered)
        lines += policytest.describe_coverage(covered)
    # rules are changed only once all tests pass as they are
    mutation = policytest.check_mutants(compiled, results, progress=_progress) if mutate and results.passed else None
    if mutation:
        record["mutation"] = policytest.mutation_record(mutation)
        lines += policytest.describe_mutation(mutation)
    if output_format == "json":
        print_json(record)
    else:
        for line in lines:
            echo_marked(line)
    results.require_passed()
    if covered:
        covered.require(compiled.project.coverage)
    if mutation:
        mutation.require_killed()


def _progress(done: int, total: int) -> None:
    """Count mutants in one line of a terminal, which is empty again in the end."""
    if sys.stderr.isatty() and (done % 20 == 0 or done == total):
        text = f"{done} of {total} mutants"
        click.echo(f"\r{text if done < total else ' ' * len(text) + chr(13)}", err=True, nl=False)
