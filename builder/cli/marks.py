"""Colours for lines that start with a mark; click removes them where output is no terminal."""

import click

_COLOURS = {"✓": "green", "✗": "red", "!": "yellow"}


def echo_marked(line: str) -> None:
    """Print a line, its leading ✓, ✗ or ! in colour."""
    text = line.lstrip()
    colour = _COLOURS.get(text[:1])
    if colour is None:
        click.echo(line)
    else:
        click.echo(line[: len(line) - len(text)] + click.style(text[:1], fg=colour) + text[1:])
