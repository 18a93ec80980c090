"""Curves as SVG, written by hand: what a page of the docs shows beside its tables."""

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parents[1] / "docs/reference/pictures"
_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 150, 44, 48
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


def save(name: str, picture: str) -> None:
    """Write a picture where the pages look for it."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / name).write_text(picture)


def curves(title: str, *, x: tuple[str, Sequence[float]], unit: str, lines: Mapping[str, Sequence[float]]) -> str:
    """Return the picture of lines over one logarithmic axis (its label, its values); the other begins at 0."""
    label, values = x
    top = _round_up(max(max(line) for line in lines.values()))
    low, high = log10(min(values)), log10(max(values))

    def across(value: float) -> float:
        return _LEFT + (log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            'font-size="13" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 24, title, weight="bold"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, label, anchor="middle"),
        _text(_LEFT - 8, _TOP - 6, unit, anchor="end"),
    ]
    for step in range(5):
        value = top * step / 4
        parts += [
            f'<path d="M{_LEFT} {up(value):.1f}H{_WIDTH - _RIGHT}" stroke="#d0d7de"/>',
            _text(_LEFT - 8, up(value) + 4, f"{value:g}", anchor="end"),
        ]
    parts += [_text(across(value), _HEIGHT - _BOTTOM + 18, f"{value:,}", anchor="middle") for value in values]
    for colour, (name, line) in zip(_COLOURS, lines.items(), strict=False):
        points = [(across(value), up(height)) for value, height in zip(values, line, strict=True)]
        path = " ".join(f"{left:.1f},{height:.1f}" for left, height in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{left:.1f}" cy="{height:.1f}" r="3.5" fill="{colour}"/>' for left, height in points]
        parts.append(_text(points[-1][0] + 10, points[-1][1] + 4, f"{name}: {line[-1]:.1f}", colour=colour))
    return "\n".join([*parts, "</svg>\n"])


def _text(left: float, top: float, words: str, *, anchor: str = "start", weight: str = "", colour: str = "") -> str:
    style = (f' font-weight="{weight}"' if weight else "") + f' fill="{colour or "#1f2328"}"'
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 6, 8 times a power of ten."""
    power = 10.0 ** int(log10(value)) if value >= 1 else 1.0
    return next(step * power for step in (1, 2, 4, 6, 8, 10, 20) if step * power >= value)
