"""How the benchmarks measure and print: interleaved runs, percentiles, ratios, and the machine they ran on."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click


def machine() -> str:
    """Return one line about the machine, without its name."""
    model = platform.processor() or platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {platform.system()}, {python}"


def each_us(
    call: Callable[[Any], object], arguments: Iterable[Any], *, prepare: Callable[[Any], Any] = lambda given: given
) -> list[float]:
    """Return the wall time of every single call in microseconds, sorted; what prepares an argument is not timed."""
    times = []
    for given in arguments:
        argument = prepare(given)
        started = time.perf_counter_ns()
        call(argument)
        times.append((time.perf_counter_ns() - started) / 1e3)
    return sorted(times)


def quietest(measure: Callable[[], list[float]], *, rounds: int) -> list[float]:
    """Return the sorted values of the round in which the machine was disturbed least: the one with the best median."""
    return min((measure() for _ in range(rounds)), key=lambda values: percentile(values, 0.5))


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """Return the value below which `part` (0..1) of the sorted values lie."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * part))]


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table as Markdown, so that it can be pasted into the docs as it is."""
    click.echo(f"\n### {title}\n")
    click.echo("| " + " | ".join(header) + " |")
    click.echo("|" + "---|" * len(header))
    for row in rows:
        click.echo("| " + " | ".join(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
