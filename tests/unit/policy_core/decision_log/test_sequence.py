from collections.abc import Mapping

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from written_logs import LogWriter, Written

from policy_core.decision_log.enrolment import HostKey
from policy_core.decision_log.segment import read_open, read_sealed
from policy_core.decision_log.sequence import ChainReport, Finding, Flaw, HostVerifier


def chain(writer: LogWriter, count: int = 5) -> list[Written]:
    return [writer.write(f'"n":{number}', '"m":1') for number in range(count)]


def verify(
    written: list[Written], keys: Mapping[str, HostKey], *, from_start: bool = True
) -> tuple[list[ChainReport], list[Finding]]:
    verifier = HostVerifier("web-1", keys, from_start=from_start)
    for segment in sorted(written, key=lambda each: (each.header.first_seq, each.name)):
        verifier.take(segment.name, segment.digest, read_sealed(segment.content, name=segment.name))
    return verifier.finish()


def flaws(findings: list[Finding]) -> list[Flaw]:
    return [finding.flaw for finding in findings]


WRITER = LogWriter()
WRITTEN = chain(WRITER)


def test_a_whole_log_is_proven() -> None:
    (report,), findings = verify(WRITTEN, WRITER.keys)

    assert not findings
    assert (report.first_seq, report.last_seq, report.signed_seq, report.segments) == (1, 15, 15, 5)
    assert report.keyid == WRITER.key.keyid
    assert report.records == {"decision": 10, "checkpoint": 5}


def test_a_segment_that_was_shipped_twice_counts_once() -> None:
    (report,), findings = verify([*WRITTEN, WRITTEN[2]], WRITER.keys)

    assert not findings
    assert (report.repeated, report.records["decision"]) == (1, 10)


@settings(max_examples=examples(60, nightly=2_000), deadline=None)
@given(st.sets(st.integers(0, 4), min_size=1, max_size=5))
def test_whichever_segments_are_left_the_rest_is_told_to_be_missing(kept: set[int]) -> None:
    (report,), findings = verify([WRITTEN[index] for index in kept], WRITER.keys)

    last = max(kept)
    missing = {seq for index in range(last) if index not in kept for seq in range(index * 3 + 1, index * 3 + 4)}
    assert missing == {seq for gap in findings for seq in range(gap.first_seq, gap.last_seq + 1)}
    assert set(flaws(findings)) <= {Flaw.GAP}
    assert report.last_seq == report.signed_seq == last * 3 + 3  # what is missing at the end nobody can know


def test_a_part_of_the_time_needs_no_beginning() -> None:
    (report,), findings = verify(WRITTEN[2:], WRITER.keys, from_start=False)

    assert not findings
    assert report.first_seq == 7


def test_a_gap_that_the_host_declares_is_told_apart() -> None:
    writer = LogWriter()
    written = chain(writer, 3)
    last = writer.write(seal=False)
    content = last.content + writer.record("dropped", '"first_seq":4,"last_seq":6') + writer.checkpoint()
    verifier = HostVerifier("web-1", writer.keys, from_start=True)
    for segment in (written[0], written[2]):
        verifier.take(segment.name, segment.digest, read_sealed(segment.content, name=segment.name))

    verifier.take("open", b"", read_open(content, name="open"))
    _, findings = verifier.finish()

    assert flaws(findings) == [Flaw.DROPPED]


def test_a_gap_that_is_declared_in_part_is_a_gap() -> None:
    writer = LogWriter()
    first, _, third = chain(writer, 3)
    last = writer.write(seal=False)
    content = last.content + writer.record("dropped", '"first_seq":4,"last_seq":5') + writer.checkpoint()
    verifier = HostVerifier("web-1", writer.keys, from_start=True)
    for segment in (first, third):
        verifier.take(segment.name, segment.digest, read_sealed(segment.content, name=segment.name))

    verifier.take("open", b"", read_open(content, name="open"))
    _, findings = verifier.finish()

    assert flaws(findings) == [Flaw.GAP]


def test_a_new_chain_of_the_same_host_is_reported() -> None:
    later = LogWriter(chain="decade00")

    reports, findings = verify(
        [*WRITTEN, later.write('"n":1', at="2026-03-02T00:00:00.000Z")], WRITER.keys | later.keys
    )

    assert [report.chain for report in reports] == [WRITER.chain, later.chain]
    assert flaws(findings) == [Flaw.RESTART]


def test_another_host_s_chain_is_not_signed_by_this_one() -> None:
    stranger = LogWriter(chain="decade00")

    _, findings = verify([stranger.write('"n":1')], WRITER.keys)

    assert flaws(findings) == [Flaw.UNKNOWN_KEY, Flaw.UNSIGNED]


def test_a_chain_goes_on_under_the_key_that_began_it() -> None:
    """Whoever enrols a second key for a host cannot write on where its own log ended."""
    writer = LogWriter()
    first = writer.write('"n":1')
    old = writer.keys
    thief = LogWriter(seq=writer.seq, segment=writer.segment, head=writer.head)

    _, findings = verify([first, thief.write('"n":"forged"')], old | thief.keys)

    assert flaws(findings) == [Flaw.FORGED, Flaw.UNSIGNED]


def test_a_signature_under_the_name_of_an_enrolled_key_must_be_its_own() -> None:
    thief = LogWriter()
    genuine = HostKey("web-1", WRITER.key.public, WRITER.key.created)

    _, findings = verify([thief.write('"n":1')], {thief.key.keyid: genuine})

    assert flaws(findings) == [Flaw.FORGED, Flaw.UNSIGNED]


def test_two_versions_of_one_segment_contradict_each_other() -> None:
    fork = LogWriter(private=WRITER.private)
    forked = chain(fork, 2)
    forked[1] = LogWriter(
        private=WRITER.private, seq=3, segment=1, head=bytes.fromhex(WRITTEN[1].header.previous)
    ).write('"n":"otherwise"', '"m":1')  # fmt: skip

    _, findings = verify([*WRITTEN, forked[1]], WRITER.keys)

    assert set(flaws(findings)) == {Flaw.CONFLICT}


@pytest.mark.parametrize("count", [1, 3])
def test_a_tail_after_the_last_checkpoint_is_told_to_be_unsigned(count: int) -> None:
    writer = LogWriter()
    first = writer.write('"n":1')
    rest = writer.write(*['"n":2'] * count, seal=False)
    verifier = HostVerifier("web-1", writer.keys, from_start=True)
    verifier.take(first.name, first.digest, read_sealed(first.content, name=first.name))

    verifier.take("open", rest.digest, read_open(rest.content, name="open"))
    (report,), (finding,) = verifier.finish()

    assert (finding.flaw, finding.first_seq, finding.last_seq) == (Flaw.UNSIGNED, 3, 2 + count)
    assert report.signed_seq == 2
