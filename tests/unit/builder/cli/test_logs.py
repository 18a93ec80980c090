"""``writ logs`` as people and scripts use it; the attacks are in tests/unit/builder/logs."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from written_logs import LogWriter, Written

from builder.cli.main import main
from bundle_store.opening import open_records
from policy_core.decision_log.segment import seal_line

DAYS = ("2026-03-01T12:00:00.000Z", "2026-03-02T12:00:00.000Z", "2026-03-03T12:00:00.000Z")
DECISION = (
    '"input":{"subject":{"id":"agent-1"},"action":{"name":"restart"},"resource":{"id":"web"}},'
    '"answer":{"decision":"%s","matched_rule":"a/b"}'
)


def activated(release: int, bundle: str) -> str:
    return f'"bundle_digest":"sha256:{bundle * 64}","revision":"{"c" * 40}","channel":"prod","release":{release}'


@pytest.fixture
def writer() -> LogWriter:
    return LogWriter(host="web-1")


@pytest.fixture
def place(store_url: str, tmp_path: Path, writer: LogWriter) -> str:
    """Ship three days of a host to a store of each kind, its key beside them."""
    store = open_records(store_url)
    for at in DAYS:
        written = writer.write(DECISION % "allow", DECISION % "deny", at=at)
        store.put(written.name, written.shipped, if_etag=None, notes={"sha256": written.digest.hex()})
    store.put(*writer.enrolment(), if_etag=None)
    return store_url


@pytest.fixture
def shipped(tmp_path: Path, writer: LogWriter) -> str:
    """Ship three days to a directory."""
    store = open_records((tmp_path / "logs").as_uri())
    for at in DAYS:
        written = writer.write(DECISION % "allow", DECISION % "deny", at=at)
        store.put(written.name, written.shipped, if_etag=None)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/web-1.pub").write_bytes(writer.enrolment()[1])
    return (tmp_path / "logs").as_uri()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["logs", *arguments])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_every_kind_of_store_is_verified(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", place, "--keys", place)

    assert (code, err) == (0, "")
    assert "✓ web-1\n" in out
    assert "1 to 9, segments: 3, signed up to 9 by " in out
    assert "checkpoint 3, decision 6" in out
    assert out.splitlines()[-1].endswith("proven (hosts: 1, segments: 3)")


def test_a_flaw_is_told_to_people_on_the_line_of_its_host(
    shipped: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((tmp_path / "logs/dt=2026-03-02").rglob("*.gz")).unlink()

    code, out, err = run(capsys, "verify", shipped, "--keys", str(tmp_path / "keys"))

    assert code == 5
    assert "✗ web-1\n" in out
    assert "records 4 to 6 of chain c0ffee00c0ffee00 are missing before it" in out
    assert err.startswith(f"error: {shipped}: is not proven (flaws: 1, hosts with flaws: 1 of 1)\nhint: ")


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        ([], 1, 9), (["--from", "2026-03-02"], 4, 9), (["--from", "2026-03-02", "--to", "2026-03-02"], 4, 6),
        (["--to", "2026-03-02T11:59:00Z"], 1, 3), (["--from", "2026-03-02T12:30:00Z", "--host", "web-1"], 4, 9),
    ],
)  # fmt: skip
def test_a_part_of_the_time_can_be_verified(
    shipped: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], first: int, last: int
) -> None:
    code, out, _ = run(capsys, "verify", shipped, "--keys", str(tmp_path / "keys"), "--format", "json", *options)

    (chain,) = json.loads(out)["hosts"][0]["chains"]
    assert (code, chain["first_seq"], chain["last_seq"]) == (0, first, last)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--host", "web-2"], 5, "there is no log"),
        (["--from", "2027-01-01"], 5, "there is no log"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], 2, "is before --from"),
        (["--from", "yesterday"], 2, "yesterday"),
        (["--keys", "nowhere"], 2, "there are no keys"),
    ],
)
def test_nothing_proven_is_never_a_success(
    shipped: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    found, _, err = run(capsys, "verify", shipped, "--keys", str(tmp_path / "keys"), *options)

    assert found == code
    assert message in err


def test_a_host_that_was_enrolled_just_now_is_not_missed_yet(
    shipped: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = LogWriter(host="web-2", created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    (tmp_path / "keys/web-2.pub").write_bytes(new.enrolment()[1])

    assert run(capsys, "verify", shipped, "--keys", str(tmp_path / "keys"))[0] == 0


def test_a_store_that_is_not_there_is_told_as_such(
    aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web-1.pub").write_bytes(LogWriter().enrolment()[1])

    code, _, err = run(capsys, "verify", "s3://nobody-has-this-bucket/logs", "--keys", str(tmp_path))

    assert code == 6
    assert "NoSuchBucket" in err


def test_whose_keys_count_must_be_said(shipped: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "verify", shipped)

    assert code == 2
    assert "--keys" in err


class TestASpool:
    @pytest.fixture
    def state(self, tmp_path: Path, writer: LogWriter) -> Path:
        """Make a state directory as a sidecar leaves it, killed while it wrote a record."""
        spool = tmp_path / "state/spool"
        spool.mkdir(parents=True)
        (spool / "0000000000000001.sealed.jsonl").write_bytes(writer.write(DECISION % "allow").content)
        begun = writer.write(DECISION % "deny", seal=False).content + writer.checkpoint()
        (spool / "0000000000000002.open.jsonl").write_bytes(begun + b'{"type":"deci')
        (spool / "head").write_bytes(b"\0" * 4096)
        (tmp_path / "state/host.pub").write_bytes(writer.enrolment()[1])
        return tmp_path / "state"

    def test_is_verified_with_the_key_beside_it_which_is_said(
        self, state: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = run(capsys, "verify", str(state))

        assert code == 0
        assert "lies beside the log" in err
        assert "13 bytes of a record that is being written" in out

    def test_what_was_shipped_already_is_not_missed(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (state / "spool/0000000000000001.sealed.jsonl").unlink()

        code, out, _ = run(capsys, "verify", str(state / "spool"), "--format", "json")

        assert code == 0
        assert json.loads(out)["hosts"][0]["chains"][0]["first_seq"] == 3

    def test_a_segment_just_begun_has_nothing_that_could_be_unsigned(
        self, state: Path, writer: LogWriter, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in (state / "spool").glob("*.jsonl"):
            path.unlink()
        (state / "spool/0000000000000003.open.jsonl").write_bytes(writer.write(seal=False).content)

        code, out, _ = run(capsys, "verify", str(state))

        assert code == 0
        assert "no record after 4" in out

    def test_a_segment_without_a_header_is_told_whichever_host_is_asked_about(
        self, state: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (state / "spool/0000000000000001.sealed.jsonl").write_bytes(b"damaged\n")

        code, out, _ = run(capsys, "verify", str(state), "--host", "web-1")

        assert code == 5
        assert "0000000000000001.sealed.jsonl" in out

    def test_a_file_under_another_number_is_found(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        spool = state / "spool"
        (spool / "0000000000000001.sealed.jsonl").rename(spool / "0000000000000009.sealed.jsonl")

        code, out, _ = run(capsys, "verify", str(state), "--format", "json")

        assert (code, json.loads(out)["hosts"][0]["findings"][0]["flaw"]) == (5, "misplaced")


class TestShow:
    def test_records_are_lines_for_people(self, shipped: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "show", shipped, "--from", "2026-03-02", "--decision", "deny")

        assert code == 0
        assert out.splitlines() == [
            f"{at}  web-1  {seq}  decision  deny  agent-1  restart  web  a/b"
            for at, seq in ((DAYS[1], 5), (DAYS[2], 8))
        ]

    def test_records_are_json_lines_for_machines(self, shipped: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "show", shipped, "--type", "checkpoint", "--format", "json")

        found: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [(each["host"], each["record"]["seq"]) for each in found] == [("web-1", seq) for seq in (3, 6, 9)]

    def test_what_callers_wrote_cannot_speak_to_the_terminal(
        self, tmp_path: Path, writer: LogWriter, capsys: pytest.CaptureFixture[str]
    ) -> None:
        body = '"input":{"subject":{"id":"\\u001b[2Jagent"}},"answer":{"decision":"allow"}'
        written = writer.write(body)
        open_records(tmp_path.as_uri()).put(written.name, written.shipped, if_etag=None)

        _, out, _ = run(capsys, "show", tmp_path.as_uri())

        assert r"\x1b[2Jagent" in out
        assert "\x1b" not in out

    def test_a_damaged_segment_ends_the_list(
        self, shipped: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        next((tmp_path / "logs/dt=2026-03-02").rglob("*.gz")).write_bytes(b"x")

        code, out, err = run(capsys, "show", shipped)

        assert (code, len(out.splitlines())) == (5, 2)
        assert "is no segment" in err


def test_intervals_say_which_bundle_a_host_enforced(
    tmp_path: Path, writer: LogWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_records(tmp_path.as_uri())
    events = [
        ("activated", activated(1, "1"), "2026-03-01T10:00:00.000Z"),
        ("rejected", '"reason":"no"', "2026-03-01T11:00:00.000Z"),
        ("activated", activated(2, "2"), "2026-03-01T12:00:00.000Z"),
        ("rollback", activated(1, "1"), "2026-03-01T12:30:00.000Z"),
        ("stopped", "", "2026-03-01T13:00:00.000Z"),
        ("started", activated(1, "1"), "2026-03-01T14:00:00.000Z"),
        ("decision", DECISION % "allow", "2026-03-01T14:10:00.000Z"),
        ("started", activated(2, "2"), "2026-03-01T15:00:00.000Z"),
    ]
    begun = writer.write(seal=False, at="2026-03-01T10:00:00.000Z")
    content = begun.content + b"".join(writer.record(kind, body, at=at) for kind, body, at in events)
    (tmp_path / "state/spool").mkdir(parents=True)
    (tmp_path / "state/spool/0000000000000001.open.jsonl").write_bytes(content + writer.checkpoint())
    store.put(*writer.enrolment(), if_etag=None)

    code, out, _ = run(
        capsys, "intervals", str(tmp_path / "state"), "--keys", tmp_path.as_uri(), "--format", "json"
    )  # fmt: skip

    found = json.loads(out)["intervals"]
    assert code == 0
    assert [(each["release"], each["start"][11:16], each["end"][11:16], each["ended"]) for each in found] == [
        (1, "10:00", "12:00", "activated"),
        (2, "12:00", "12:30", "rollback"),
        (1, "12:30", "13:00", "stopped"),
        (1, "14:00", "14:10", ""),
        (2, "15:00", "", ""),
    ]


class TestExport:
    def test_an_answer_that_took_long_is_in_the_export_of_the_hour_in_which_it_was_asked_for(
        self, tmp_path: Path, writer: LogWriter, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its segment is one of the next hour, and no other export has it."""
        begun = writer.write(at="2026-03-01T14:00:00.100Z", seal=False)
        late = writer.record("decision", DECISION % "allow", at="2026-03-01T13:59:59.999Z")
        content = begun.content + late + writer.checkpoint(at="2026-03-01T14:00:01.000Z")
        written = Written(begun.header, content + seal_line(begun.header, last_seq=writer.seq, head=writer.head))
        open_records(tmp_path.as_uri()).put(written.name, written.shipped, if_etag=None)
        hour = ("--from", "2026-03-01T13:00:00Z", "--to", "2026-03-01T13:59:59.999Z")

        code, out, _ = run(capsys, "export", tmp_path.as_uri(), "--as", "ocsf", *hour)

        assert (code, len(out.splitlines())) == (0, 1)

    def test_the_end_of_the_calendar_ends_no_export(self, shipped: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "export", shipped, "--as", "ocsf", "--to", "9999-12-31T23:59:59Z")

        assert (code, len(out.splitlines())) == (0, 6)

    def test_decisions_are_events_of_ocsf(self, shipped: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "export", shipped, "--as", "ocsf", "--to", "2026-03-01")

        events = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [(each["class_uid"], each["disposition_id"]) for each in events] == [(6003, 1), (6003, 2)]

    def test_batches_are_lines_of_otlp(self, shipped: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run(capsys, "export", shipped, "--as", "otlp")

        (batch,) = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert len(batch["resourceLogs"][0]["scopeLogs"][0]["logRecords"]) == 6
