import msgspec
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from written_logs import LogWriter

from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import Record
from policy_core.decision_log.segment import SegmentReader, Signed, Whole, read_open, read_sealed

BODIES = ('"decision":"allow","input":{"a":[1,2]}', "", '"reason":"schön \\u2028"')
SEGMENT = LogWriter().write(*BODIES).content
LINES = SEGMENT.splitlines(keepends=True)


def read(content: bytes) -> list[Record | Signed | Whole]:
    return list(read_sealed(content, name="s"))


def test_every_record_is_read_as_it_was_written() -> None:
    *parts, whole = read(SEGMENT)

    records = [part for part in parts if isinstance(part, Record)]
    assert [(record.type, record.seq) for record in records] == [
        ("decision", 1), ("decision", 2), ("decision", 3), ("checkpoint", 4),
    ]  # fmt: skip
    assert [record.line + b"\n" for record in records] == LINES[1:-1]
    assert isinstance(whole, Whole)
    assert (whole.last_seq, whole.torn_bytes) == (4, 0)


@settings(max_examples=examples(300, nightly=20_000), deadline=None)
@given(st.integers(0, len(SEGMENT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_found(position: int, change: int) -> None:
    changed = bytearray(SEGMENT)
    changed[position] ^= change

    with pytest.raises(LogError):
        read(bytes(changed))


@settings(max_examples=examples(200, nightly=20_000), deadline=None)
@given(st.integers(0, len(SEGMENT)), st.integers(0, len(SEGMENT)), st.binary(max_size=80))
def test_anything_cut_out_or_put_in_is_found(one: int, other: int, between: bytes) -> None:
    start, end = min(one, other), max(one, other)
    if between == SEGMENT[start:end]:
        return

    with pytest.raises(LogError):
        read(SEGMENT[:start] + between + SEGMENT[end:])


@settings(max_examples=examples(200, nightly=5_000), deadline=None)
@given(st.lists(st.integers(0, len(LINES) - 1), max_size=len(LINES) + 2))
def test_lines_left_out_repeated_or_in_another_order_are_found(order: list[int]) -> None:
    if order == list(range(len(LINES))):
        return

    with pytest.raises(LogError):
        read(b"".join(LINES[index] for index in order))


def test_every_cut_is_found() -> None:
    for length in range(len(SEGMENT)):
        with pytest.raises(LogError):
            read(SEGMENT[:length])


@settings(max_examples=examples(100, nightly=2_000), deadline=None)
@given(st.integers(0, len(SEGMENT)))
def test_of_an_open_segment_what_was_ended_is_read(length: int) -> None:
    content = b"".join(LINES[:-1])[:length]

    parts = list(read_open(content, name="s"))

    ended = content.count(b"\n")
    assert sum(isinstance(part, Record) for part in parts) == max(0, ended - 1)
    if ended:
        assert isinstance(parts[-1], Whole)
        assert parts[-1].torn_bytes == len(content) - len(b"".join(LINES[:ended]))


def test_the_error_names_file_line_and_record() -> None:
    with pytest.raises(LogError, match=r"^s:3: record 2 does not fit the chain") as caught:
        read(SEGMENT.replace(LINES[2], LINES[2].replace(b"T12:", b"T13:")))

    assert (caught.value.name, caught.value.line, caught.value.exit_code) == ("s", 3, 5)


def test_a_seal_without_a_checkpoint_before_it_is_refused() -> None:
    writer = LogWriter()
    opened = writer.write('"decision":"allow"', seal=False)
    seal = b'{"type":"seal","count":1,"last_seq":1,"record_hash":"%b"}\n' % writer.head.hex().encode()

    with pytest.raises(LogError, match="does not follow a checkpoint"):
        read(opened.content + seal)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"decision","seq":1,"ts":"2026-03-01T12:00:00.000Z","seq":2',  # twice
        b'{"type":"decision","seq":1,"ts":"2026-03-01T12:00:00.000Z","a":nonsense',
        b'{"type":"decision","seq":1,"ts":"2026-03-01T12:00:00.000Z","a":"\xff"',
        b'{"type":"decision","seq":1,"ts":"2026-03-01T12:00:00Z"',
        b'{"type":"decision","seq":01,"ts":"2026-03-01T12:00:00.000Z"',
        b'{"type":"seal","seq":1,"ts":"2026-03-01T12:00:00.000Z"',
        b'{"seq":1,"type":"decision","ts":"2026-03-01T12:00:00.000Z"',
        b'{"type":"decision","seq":1,"ts":"2026-03-01T12:00:00.000Z","a":' + b"[" * 3_000 + b"]" * 3_000,
        b'{"type":"checkpoint","seq":1,"ts":"2026-03-01T12:00:00.000Z","keyid":"","sig":""',
    ],
)
def test_what_is_no_record_is_refused_even_where_the_chain_holds(line: bytes) -> None:
    writer = LogWriter()
    opened = writer.write(seal=False)

    with pytest.raises(LogError, match=r"^s:2: "):
        list(read_open(opened.content + writer.append(line), name="s"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "writ.decision-log/2"), ("host", "two words"), ("host", ""), ("boot", "x"), ("chain", "C0FFEE00"),
        ("segment", 2), ("first_seq", 2), ("first_seq", 0), ("previous", "1" * 64), ("previous", ""),
        ("opened_at", "2026-03-01"),
    ],
)  # fmt: skip
def test_a_header_with_impossible_values_is_refused(field: str, value: object) -> None:
    header = msgspec.structs.replace(LogWriter().write().header, **{field: value})

    with pytest.raises(LogError, match=r"^s:1: "):
        SegmentReader("s").feed(msgspec.json.encode(header))


def test_a_line_is_not_read_beyond_the_limit() -> None:
    with pytest.raises(LogError, match="too long"):
        SegmentReader("s").feed(b" " * (8 << 20) + b" ")
