"""``python -m benchmarks [NAME …]``: run all benchmarks, or the named ones."""

import importlib

import click

from benchmarks.measuring import machine

NAMES = (
    "decisions", "conditions", "building", "loading", "simulating", "polling", "fleet", "sidecar", "holding",
    "swapping", "propagating", "soaking", "client", "serving",
)  # fmt: skip


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def main(names: tuple[str, ...]) -> None:
    """Run the benchmarks NAMES (default: all) and print their tables."""
    click.echo(f"Machine: {machine()}")
    for name in names or NAMES:
        importlib.import_module(f"benchmarks.{name}").run()


main()
