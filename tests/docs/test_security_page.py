"""The security page shows the rows of the tamper matrix as they are tested. UPDATE=1 rewrites its tables."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tamper.attacking import Attack
from tamper.rows import ALARMS, ATTACKS, SECTIONS
from tamper.rows_honest import STEPS, Step

PAGE = Path(__file__).parents[2] / "docs/security.md"
GENERATED = re.compile(
    r"(?<=<!-- generated: tests/docs/test_security_page.py -->\n).*(?=<!-- end of generated -->)", re.DOTALL
)
LEAST_ATTACKS = 40
LEAST_AT_SOCKETS = 12


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def fresh(row: Attack | Step) -> str:
    """Return the cell of a fresh host."""
    return "likewise" if row.fresh == row.seasoned else row.fresh.words


def generated() -> str:
    number = {row.name: str(place) for place, row in enumerate(ATTACKS, start=1)}
    let_in = [number[row.name] for row in ATTACKS if not (row.seasoned.stops and row.fresh.stops)]
    past = [number[row.name] for row in ATTACKS if row.fresh.is_past]
    lines = [
        "",
        f"{len(ATTACKS)} attacks on hosts, each on a seasoned and on a fresh one, and {len(ALARMS)} on those who",
        f"publish, approve and audit. **Not stopped**: {', '.join(let_in)}.",
        f"A fresh host is shown **the past**: {', '.join(past)}.",
        "",
    ]
    head = ("", "attacker holds", "and", "seasoned host", "fresh host", "because")
    for title, rows in SECTIONS.items():
        cells = (
            (number[row.name], row.holds, row.does, row.seasoned.words, fresh(row), row.stopped_by) for row in rows
        )
        lines += [f"### {title}", "", *table(head, cells)]
    lines += ["### Publishers, approvers, auditors", ""]
    lines += table(
        ("attacker holds", "and", "noticed by", "which says"),
        ((row.holds, row.does, f"`{row.command}`", f"`{row.text}`") for row in ALARMS),
    )
    lines += ["### Accepted, as it should be", "", "What owners do, and every host follows.", ""]
    lines += table(
        ("owners", "seasoned host", "fresh host"),
        ((row.does, row.seasoned.words, fresh(row)) for row in STEPS),
    )
    return "\n".join(lines)


def test_the_page_shows_every_row_as_it_is_tested() -> None:
    page = PAGE.read_text(encoding="utf-8")
    expected = GENERATED.sub(lambda _: generated(), page)
    if os.environ.get("UPDATE"):
        PAGE.write_text(expected, encoding="utf-8")
        page = expected

    assert GENERATED.search(page)
    assert page == expected


def test_there_are_enough_attacks_and_each_has_a_name_of_its_own() -> None:
    names = [row.name for row in (*ATTACKS, *ALARMS)]

    assert len(ATTACKS) >= LEAST_ATTACKS
    assert len(set(names)) == len(names)


def test_no_attack_puts_a_seasoned_host_back_into_the_past() -> None:
    assert not [row.name for row in ATTACKS if row.seasoned.is_past]


def test_the_attacks_at_the_sockets_are_tests() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"\| `(test_\w+)` \|$", page, re.MULTILINE)
    sources = [file.read_text(encoding="utf-8") for file in PAGE.parents[1].glob("tests/**/test_*.py")]

    assert len(named) >= LEAST_AT_SOCKETS
    for name in named:
        assert any(f"def {name}(" in source for source in sources), name
