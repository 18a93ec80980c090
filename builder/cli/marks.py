"""Colours for lines that start with a mark; click removes them where output is no terminal."""

import click

from policy_core.printable import printable

_COLOURS = {"✓": "green", "✗": "red", "!": "yellow"}


def echo_marked(line: str, *, err: bool = False) -> None:
    """Print a line, its leading ✓, ✗ or ! in colour, and nothing in it that a terminal would obey."""
    line = printable(line)
    text = line.lstrip()
    colour = _COLOURS.get(text[:1])
    if colour is None:
        click.echo(line, err=err)
    else:
        click.echo(line[: len(line) - len(text)] + click.style(text[:1], fg=colour) + text[1:], err=err)
