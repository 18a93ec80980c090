import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_logs import LogWriter

from bundle_store.names import check_name
from policy_core.decision_log.lines import is_host
from policy_core.decision_log.names import hour_folder, key_object, read_segment_name, segment_object, spelled_host

hosts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=120).filter(is_host)


def test_a_segment_is_named_by_hour_host_start_number_and_digest() -> None:
    written = LogWriter().write('"n":1')

    assert written.name == (f"dt=2026-03-01/hr=12/web-1-b00700aa-0000000000000001-{written.digest.hex()[:12]}.jsonl.gz")
    assert written.name.startswith(hour_folder("2026-03-01", 12))


@given(hosts)
def test_any_host_can_be_named_and_told_from_the_name(host: str) -> None:
    written = LogWriter(host=host).write('"n":1')

    found = read_segment_name(check_name(written.name))

    assert found is not None
    assert (found.host, found.boot, found.first_seq) == (spelled_host(host), "b00700aa", 1)
    assert written.digest.hex().startswith(found.digest)
    check_name(key_object(host, "ab" * 32))


@given(hosts, hosts)
def test_no_two_hosts_share_a_name(one: str, other: str) -> None:
    assert (spelled_host(one) == spelled_host(other)) == (one == other)


@pytest.mark.parametrize("name", ["probe/conditional-writes", "dt=2026-03-01/hr=12/x.jsonl.gz", ""])
def test_other_objects_are_no_segments(name: str) -> None:
    assert read_segment_name(name) is None


def test_hosts_that_end_alike_are_told_apart() -> None:
    header = LogWriter(host="web-1-b00700aa").write().header

    found = read_segment_name(segment_object(header, "0" * 64))

    assert found is not None
    assert found.host == "web-1-b00700aa"
