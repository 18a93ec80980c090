"""Whoever may do anything to the store, but holds no host's key, is found out by `writ logs verify`: one row an attack.

What verification cannot see, because nothing left in the store says it was ever there, is a row as well: the newest
segments of a host taken away.
"""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from written_logs import LogWriter, Written

from builder.cli.main import main
from policy_core import gzipped
from policy_core.decision_log.chain import checkpoint_prefix
from policy_core.decision_log.enrolment import HostKey, encode_enrolment
from policy_core.decision_log.lines import SegmentHeader
from policy_core.decision_log.names import key_object
from policy_core.decision_log.segment import seal_line

HOURS = ("2026-03-01T12:00:00.000Z", "2026-03-01T13:00:00.000Z", "2026-03-01T14:00:00.000Z", "2026-03-02T00:00:00.000Z")


class Store:
    """What the attacker can reach: objects of two hosts, and their enrolments."""

    def __init__(self, root: Path) -> None:
        self.logs, self.fleet = root / "logs", root / "fleet"
        self.web = LogWriter(host="web-1", chain="a" * 16)
        self.other = LogWriter(host="web-2", chain="b" * 16)
        self.written = [self.web.write('"answer":{"decision":"allow"}', '"answer":{}', at=at) for at in HOURS]
        self.others = [self.other.write('"answer":{"decision":"deny"}', at=at) for at in HOURS]
        for segment in (*self.written, *self.others):
            self.put(segment.name, segment.shipped)
        for writer in (self.web, self.other):
            self.enrol(*writer.enrolment())

    def put(self, name: str, body: bytes) -> None:
        path = self.logs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def enrol(self, name: str, content: bytes) -> None:
        path = self.fleet / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, segment: Written) -> None:
        (self.logs / segment.name).unlink()

    def replace(self, segment: Written, content: bytes) -> None:
        """Put other content in the place of a segment, under the name that content would have."""
        self.remove(segment)
        self.put(Written(segment.header, content).name, gzipped.compress(content))

    def verify(self, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
        arguments = ["logs", "verify", self.logs.as_uri(), "--keys", self.fleet.as_uri(), "--format", "json", *more]
        code = main(arguments)
        return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def flaws(outcome: dict[str, Any]) -> dict[str, set[str]]:
    return {host["host"]: {found["flaw"] for found in host["findings"]} for host in outcome["hosts"]}


def lines(segment: Written) -> list[bytes]:
    return segment.content.splitlines(keepends=True)


def changes_an_answer(store: Store) -> None:
    store.replace(store.written[1], store.written[1].content.replace(b'"allow"', b'"deny!"'))


def changes_an_answer_under_the_old_name(store: Store) -> None:
    segment = store.written[1]
    store.put(segment.name, gzipped.compress(segment.content.replace(b'"allow"', b'"deny!"')))


def writes_the_last_segment_again(store: Store) -> None:
    """With hashes that fit, under the name of the genuine key."""
    segment, genuine = store.written[-1].header, store.web.key.keyid
    forger = LogWriter(host="web-1", chain="a" * 16, seq=segment.first_seq - 1, segment=segment.segment - 1)
    forger.head = bytes.fromhex(segment.previous)
    forged = forger.write('"answer":{"decision":"deny"}', at=HOURS[-1], seal=False)
    sign = forger.private.sign
    forger.seq += 1
    checkpoint = forger.append(checkpoint_prefix(forger.head, seq=forger.seq, ts=HOURS[-1], keyid=genuine, sign=sign))
    seal = seal_line(forged.header, last_seq=forger.seq, head=forger.head)
    store.replace(store.written[-1], forged.content + checkpoint + seal)


def forges_a_tail_with_a_key_of_its_own(store: Store) -> None:
    thief = LogWriter(host="web-1", chain="a" * 16, seq=store.web.seq, segment=store.web.segment, head=store.web.head)
    forged = thief.write('"answer":{"decision":"allow"}', at="2026-03-02T01:00:00.000Z")
    store.put(forged.name, forged.shipped)


def forges_a_tail_with_a_key_it_enrols(store: Store) -> None:
    thief = LogWriter(host="web-1", chain="a" * 16, seq=store.web.seq, segment=store.web.segment, head=store.web.head)
    forged = thief.write('"answer":{"decision":"allow"}', at="2026-03-02T01:00:00.000Z")
    store.put(forged.name, forged.shipped)
    store.enrol(*thief.enrolment())


def enrols_a_second_key(store: Store) -> None:
    store.enrol(*LogWriter(host="web-1").enrolment())


def enrols_a_second_key_from_the_future(store: Store) -> None:
    """One that would be new for ever."""
    store.enrol(*LogWriter(host="web-1", created="9999-12-31T23:59:59.999Z").enrolment())


def removes_a_chain_that_began_anew(store: Store) -> None:
    """So that it looks as if the host had ended with the chain before."""
    later = LogWriter(host="web-1", chain="c" * 16)
    store.enrol(*later.enrolment())
    later.write('"answer":{"decision":"allow"}')  # which the attacker removes


def begins_a_chain_with_a_key_it_enrols(store: Store) -> None:
    thief = LogWriter(host="web-1", chain="c" * 16)
    forged = thief.write('"answer":{"decision":"allow"}', at="2026-03-02T01:00:00.000Z")
    store.put(forged.name, forged.shipped)
    store.enrol(*thief.enrolment())


def replaces_the_whole_log_and_the_key(store: Store) -> None:
    for segment in store.written:
        store.remove(segment)
    begins_a_chain_with_a_key_it_enrols(store)
    (store.fleet / key_object("web-1", store.web.key.keyid)).unlink()


def removes_a_segment(store: Store) -> None:
    store.remove(store.written[1])


def removes_the_first_segment(store: Store) -> None:
    store.remove(store.written[0])


def removes_all_of_a_host(store: Store) -> None:
    for segment in store.written:
        store.remove(segment)


def empties_an_object(store: Store) -> None:
    store.put(store.written[1].name, b"")


def removes_a_line(store: Store) -> None:
    found = lines(store.written[1])
    store.replace(store.written[1], b"".join(found[:1] + found[2:]))


def removes_the_seal(store: Store) -> None:
    store.replace(store.written[1], b"".join(lines(store.written[1])[:-1]))


def cuts_before_the_checkpoint(store: Store) -> None:
    store.replace(store.written[-1], b"".join(lines(store.written[-1])[:2]))


def swaps_two_records(store: Store) -> None:
    found = lines(store.written[1])
    found[1], found[2] = found[2], found[1]
    store.replace(store.written[1], b"".join(found))


def swaps_two_objects(store: Store) -> None:
    one, two = store.written[1], store.written[2]
    store.put(one.name, two.shipped)
    store.put(two.name, one.shipped)


def moves_an_object_to_another_hour(store: Store) -> None:
    segment = store.written[1]
    store.remove(segment)
    store.put(segment.name.replace("hr=13", "hr=14"), segment.shipped)


def copies_an_object_to_another_hour(store: Store) -> None:
    store.put(store.written[1].name.replace("hr=13", "hr=14"), store.written[1].shipped)


def copies_an_object_to_another_host(store: Store) -> None:
    store.put(store.written[0].name.replace("web-1", "web-2"), store.written[0].shipped)


def goes_on_with_the_chain_of_another_host(store: Store) -> None:
    """With its own key, so that its own log seems never to have been."""
    for segment in store.others:
        store.remove(segment)
    web, key = store.web, store.other.private
    thief = LogWriter(host="web-2", chain=web.chain, private=key, seq=web.seq, segment=web.segment, head=web.head)
    forged = thief.write('"answer":{"decision":"allow"}', at="2026-03-02T01:00:00.000Z")
    store.put(forged.name, forged.shipped)


def rewrites_the_host_in_the_header(store: Store) -> None:
    content = store.written[-1].content.replace(b'"host":"web-1"', b'"host":"web-2"')
    header = SegmentHeader(**{**_fields(store.written[-1].header), "host": "web-2"})
    store.remove(store.written[-1])
    store.put(Written(header, content).name, gzipped.compress(content))


def rewrites_the_version_in_the_header(store: Store) -> None:
    store.replace(
        store.written[1], store.written[1].content.replace(b'"sidecar_version":"1.0"', b'"sidecar_version":"9.9"')
    )


def backdates_a_segment(store: Store) -> None:
    segment = store.written[-1]
    content = segment.content.replace(b'"opened_at":"2026-03-02', b'"opened_at":"2026-02-02')
    header = SegmentHeader(**{**_fields(segment.header), "opened_at": "2026-02-02T00:00:00.000Z"})
    store.remove(segment)
    store.put(Written(header, content).name, gzipped.compress(content))


def appends_bytes_behind_the_gzip(store: Store) -> None:
    store.put(store.written[1].name, store.written[1].shipped + b"more")


def appends_a_gzip_member(store: Store) -> None:
    store.put(store.written[1].name, store.written[1].shipped + gzipped.compress(b"more\n"))


def plants_a_bomb(store: Store) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    blob = gzipped.compress(b"")[:10] + b"".join(deflate.compress(bytes(1 << 20)) for _ in range(40)) + deflate.flush()
    store.put(store.written[1].name, blob)


def plants_a_line_without_end(store: Store) -> None:
    store.put(store.written[1].name, gzipped.compress(b"x" * (9 << 20)))


def makes_the_key_someone_else_s(store: Store) -> None:
    path = store.fleet / key_object("web-1", store.web.key.keyid)
    path.write_bytes(store.other.enrolment()[1])


def enrols_a_host_s_key_for_another(store: Store) -> None:
    thief = HostKey("web-2", store.web.key.public, store.web.key.created)
    store.enrol(key_object("web-2", thief.keyid), encode_enrolment(thief, bytes(64)))


def takes_the_key_away(store: Store) -> None:
    (store.fleet / key_object("web-1", store.web.key.keyid)).unlink()


def _fields(header: SegmentHeader) -> dict[str, Any]:
    return {name: getattr(header, name) for name in header.__struct_fields__}


ATTACKS: dict[Callable[[Store], None], dict[str, set[str]]] = {
    changes_an_answer: {"web-1": {"damaged", "gap"}},
    changes_an_answer_under_the_old_name: {"web-1": {"misplaced", "gap"}},
    writes_the_last_segment_again: {"web-1": {"forged", "unsigned"}},
    forges_a_tail_with_a_key_of_its_own: {"web-1": {"unknown_key", "unsigned"}},
    forges_a_tail_with_a_key_it_enrols: {"web-1": {"forged", "unsigned", "silent"}},
    enrols_a_second_key: {"web-1": {"silent"}},
    enrols_a_second_key_from_the_future: {"web-1": {"silent"}},
    removes_a_chain_that_began_anew: {"web-1": {"silent"}},
    begins_a_chain_with_a_key_it_enrols: {"web-1": {"restart"}},
    removes_a_segment: {"web-1": {"gap"}},
    removes_the_first_segment: {"web-1": {"gap"}},
    removes_all_of_a_host: {"web-1": {"silent"}},
    empties_an_object: {"web-1": {"damaged", "gap"}},
    removes_a_line: {"web-1": {"damaged", "gap"}},
    removes_the_seal: {"web-1": {"damaged", "gap"}},
    cuts_before_the_checkpoint: {"web-1": {"damaged"}},
    swaps_two_records: {"web-1": {"damaged", "gap"}},
    swaps_two_objects: {"web-1": {"misplaced", "gap"}},
    moves_an_object_to_another_hour: {"web-1": {"misplaced", "gap"}},
    copies_an_object_to_another_hour: {"web-1": {"misplaced"}},
    copies_an_object_to_another_host: {"web-2": {"misplaced"}},
    goes_on_with_the_chain_of_another_host: {"web-2": {"gap"}},
    rewrites_the_host_in_the_header: {"web-2": {"damaged"}},
    rewrites_the_version_in_the_header: {"web-1": {"damaged", "gap"}},
    backdates_a_segment: {"web-1": {"damaged"}},
    appends_bytes_behind_the_gzip: {"web-1": {"damaged", "gap"}},
    appends_a_gzip_member: {"web-1": {"damaged", "gap"}},
    plants_a_bomb: {"web-1": {"damaged", "gap"}},
    plants_a_line_without_end: {"web-1": {"damaged", "gap"}},
    makes_the_key_someone_else_s: {"web-1": {"unknown_key", "unsigned"}},
    takes_the_key_away: {"web-1": {"unknown_key", "unsigned"}},
}


def test_what_nobody_touched_is_proven(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, outcome = store.verify(capsys)

    assert (code, outcome["verified"], flaws(outcome)) == (0, True, {"web-1": set(), "web-2": set()})
    chain = outcome["hosts"][0]["chains"][0]
    assert (chain["first_seq"], chain["last_seq"], chain["signed_seq"]) == (1, 12, 12)
    assert chain["records"] == {"decision": 8, "checkpoint": 4}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_is_found_where_it_happened(
    store: Store, capsys: pytest.CaptureFixture[str], attack: Callable[[Store], None]
) -> None:
    attack(store)

    code, outcome = store.verify(capsys)

    expected = {"web-1": set[str](), "web-2": set[str]()} | ATTACKS[attack]
    assert (code, outcome["verified"], flaws(outcome)) == (5, False, expected)


def test_a_host_that_is_called_otherwise_goes_on_with_its_chain(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.web.host = "another-name"
    renamed = store.web.write('"answer":{}', at="2026-03-02T01:00:00.000Z")
    store.put(renamed.name, renamed.shipped)
    store.enrol(*store.web.enrolment())

    code, outcome = store.verify(capsys)
    assert (code, flaws(outcome)["another-name"]) == (0, set())

    store.remove(store.written[-1])  # then it is nothing to go on from
    code, outcome = store.verify(capsys)
    assert (code, flaws(outcome)["another-name"]) == (5, {"gap"})


def test_a_chain_that_began_anew_can_be_accepted_by_its_name_and_nothing_else_with_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    later = LogWriter(host="web-1", chain="c" * 16)
    written = later.write('"answer":{}', at="2026-03-02T01:00:00.000Z")
    store.put(written.name, written.shipped)
    store.enrol(*later.enrolment())

    assert store.verify(capsys)[0] == 5
    assert store.verify(capsys, "--accept", "d" * 16)[0] == 5
    code, outcome = store.verify(capsys, "--accept", "c" * 16)
    assert (code, outcome["hosts"][0]["chains"][1]["accepted"]) == (0, True)

    removes_a_segment(store)
    code, outcome = store.verify(capsys, "--accept", "c" * 16)
    assert (code, flaws(outcome)["web-1"]) == (5, {"gap"})


def test_an_enrolment_that_is_not_signed_by_its_key_is_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    enrols_a_host_s_key_for_another(store)

    code, outcome = store.verify(capsys)

    assert code == 5
    assert len(outcome["key_problems"]) == 1


def test_keys_that_were_collected_before_defeat_whoever_writes_the_fleet_s_records(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The one attack that records in the attacker's reach cannot tell: everything of a host made anew."""
    kept = tmp_path / "kept"
    kept.mkdir()
    for writer in (store.web, store.other):
        (kept / f"{writer.host}.pub").write_bytes(writer.enrolment()[1])
    replaces_the_whole_log_and_the_key(store)

    assert store.verify(capsys)[0] == 0
    code, outcome = store.verify(capsys, "--keys", str(kept))

    assert (code, flaws(outcome)["web-1"]) == (5, {"unknown_key", "unsigned", "silent"})


def test_the_end_taken_away_shows_with_the_next_segment_and_not_before(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.remove(store.written[-1])
    code, outcome = store.verify(capsys)
    assert code == 0
    assert outcome["hosts"][0]["chains"][0]["last_seq"] == 9  # which a host's status says more exactly

    later = store.web.write('"answer":{}', at="2026-03-02T05:00:00.000Z")
    store.put(later.name, later.shipped)

    code, outcome = store.verify(capsys)
    assert (code, flaws(outcome)["web-1"]) == (5, {"gap"})


def test_a_store_that_was_emptied_is_no_proof(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for segment in (*store.written, *store.others):
        store.remove(segment)

    assert store.verify(capsys)[0] == 5


def test_objects_of_others_are_passed_over(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put("dt=2026-03-01/hr=12/notes.txt", b"hello")
    store.put("README", b"hello")

    assert store.verify(capsys)[0] == 0


DEEP = '"input":' + '{"a":' * 900 + "1" + "}" * 900
NO_MOMENT = "2026-02-30T99:00:00.000Z"


def test_a_key_enrolled_at_no_moment_does_not_keep_the_others_from_being_proven(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.enrol(*LogWriter(host="web-1", created=NO_MOMENT).enrolment())

    code, outcome = store.verify(capsys)

    assert (code, flaws(outcome), len(outcome["key_problems"])) == (5, {"web-1": set(), "web-2": set()}, 1)


def test_a_host_that_writes_what_no_sidecar_does_is_told_and_the_others_are_proven(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    written = store.other.write('"answer":{}', at=NO_MOMENT)
    store.put(written.name, written.shipped)

    code, outcome = store.verify(capsys)

    assert (code, flaws(outcome)) == (5, {"web-1": set(), "web-2": {"damaged"}})


@pytest.mark.parametrize("members", ['"release":"42"', '"release":1e999', '"bundle_digest":7'])
def test_an_activation_that_no_sidecar_writes_ends_no_list(
    store: Store, capsys: pytest.CaptureFixture[str], members: str
) -> None:
    _ship(store, "activated", members)

    code = main(["logs", "intervals", store.logs.as_uri(), "--keys", store.fleet.as_uri()])

    assert (code, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize(
    "command", [["show"], ["show", "--decision", "deny"], ["export", "--as", "ocsf"], ["export", "--as", "otlp"]]
)
@pytest.mark.parametrize("members", ['"eval_us":1e999', DEEP], ids=["number", "depth"])
def test_a_number_or_a_depth_that_no_sidecar_writes_is_told(
    store: Store, capsys: pytest.CaptureFixture[str], command: list[str], members: str
) -> None:
    _ship(store, "decision", members)

    code = main(["logs", command[0], store.logs.as_uri(), *command[1:]])

    assert code in {0, 5}
    assert "Traceback" not in capsys.readouterr().err


def test_what_a_host_says_steers_no_terminal(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    _ship(store, "activated", r'"channel":"\u001b[2J","bundle_digest":"sha256:\u009b1A","revision":"\u202e"')
    store.enrol(f"hosts/web-2/{'0' * 64}.json", rb'{"\u001b[2J":1}')
    steering = {"\x1b", "\x9b", "\u202e"}

    for command in ("verify", "intervals"):
        main(["logs", command, store.logs.as_uri(), "--keys", store.fleet.as_uri()])
        printed = capsys.readouterr()
        assert steering.isdisjoint(printed.out + printed.err)


def _ship(store: Store, kind: str, members: str) -> None:
    """Let a host that holds its own key write a record of its own making."""
    other = store.other
    opened = other.write(at="2026-03-02T01:00:00.000Z", seal=False)
    record, checkpoint = other.record(kind, members), other.checkpoint()
    seal = seal_line(opened.header, last_seq=other.seq, head=other.head)
    written = Written(opened.header, opened.content + record + checkpoint + seal)
    store.put(written.name, written.shipped)
