from pathlib import Path

import pytest

from agent_sidecar.host_key import HostSigner, open_host_key
from agent_sidecar.reports.enrolling import Enrolment
from bundle_store.opening import open_records
from policy_core.decision_log.enrolment import decode_enrolment


@pytest.fixture
def signer(tmp_path: Path) -> HostSigner:
    return open_host_key(tmp_path, host="web-1", now=1_772_366_400.0)


def test_a_key_is_enrolled_once_and_found_again(signer: HostSigner, store_url: str) -> None:
    store = open_records(store_url)
    for _ in range(2):
        enrolment = Enrolment(store, signer)
        enrolment.tend()
        assert (enrolment.is_done, enrolment.problem) == (True, "")

    (found,) = store.listing("hosts/")
    object_ = store.get(found.name, max_bytes=10_000)
    assert object_ is not None
    assert decode_enrolment(object_.body, name=found.name) == signer.key


def test_what_somebody_else_wrote_under_our_name_is_a_problem_and_stays(signer: HostSigner, file_url: str) -> None:
    store = open_records(file_url)
    store.put(signer.enrolment()[0], b"forged", if_etag=None)
    enrolment = Enrolment(store, signer)

    enrolment.tend()

    assert not enrolment.is_done
    assert "other content" in enrolment.problem


def test_it_is_tried_until_it_works(signer: HostSigner, tmp_path: Path) -> None:
    now = 0.0
    (tmp_path / "records").touch()  # no directory can be made there
    store = open_records((tmp_path / "records").as_uri())
    enrolment = Enrolment(store, signer, monotonic=lambda: now)
    enrolment.tend()
    assert enrolment.problem

    (tmp_path / "records").unlink()
    enrolment.tend()
    assert not enrolment.is_done  # it is too early
    now = 10.0
    enrolment.tend()

    assert (enrolment.is_done, enrolment.problem) == (True, "")
