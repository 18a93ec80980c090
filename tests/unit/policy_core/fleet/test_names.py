import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.decision_log.names import spelled_host
from policy_core.fleet.names import (
    SILENT_AFTER_S,
    SLOT_S,
    HostState,
    Mark,
    features_digest,
    moment_in_slot,
    read_state,
    slot_folder,
    slots,
)
from policy_core.trust.layout import MAX_CHANNEL_CHARS

NOON = 1_772_366_400  # 2026-03-01T12:00:00Z
STATE = HostState(
    host="web-1",
    channel="prod",
    at=NOON + 605,
    enforced=42,
    listed=43,
    timestamp=1137,
    signed_at=NOON,
    freshness="fresh",
    marks=frozenset({Mark.REJECTED, Mark.ROLLED_BACK}),
    features=features_digest(["rules.v1"]),
    version="0.4.0",
)
numbers = st.integers(0, 2**53 - 1)
states = st.builds(
    HostState,
    host=st.text(min_size=1).filter(lambda text: text.split() == [text]).map(spelled_host),
    channel=st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True),
    at=st.integers(0, 10**11),
    enforced=numbers,
    listed=numbers,
    timestamp=numbers,
    signed_at=st.integers(0, 10**11),
    freshness=st.sampled_from(["fresh", "aging", "stale", "unreachable"]),
    marks=st.frozensets(st.sampled_from(Mark)),
    features=st.lists(st.text()).map(features_digest),
    version=st.text(string.ascii_letters + string.digits + ".", min_size=1, max_size=40),
)


def test_the_name_says_what_a_listing_needs() -> None:
    assert STATE.name == (
        f"reports/prod/2026-03-01T1210/web-1=1772367005=42=43=1137=1772366400=fresh=br={STATE.features}=0.4.0.json"
    )


@given(states)
def test_a_name_is_read_back_as_what_it_was_made_of(state: HostState) -> None:
    assert read_state(state.name) == state


@given(states, st.data())
def test_no_two_states_share_a_name(state: HostState, data: st.DataObject) -> None:
    other = data.draw(states)

    assert (state.name == other.name) == (state == other)


@given(st.text(string.printable, max_size=120))
def test_any_other_name_is_nobodys(name: str) -> None:
    assert read_state(f"reports/prod/2026-03-01T1210/{name}") is None


@pytest.mark.parametrize(
    ("change", "with_what"),
    [
        ("2026-03-01T1210", "2026-03-01T1200"),  # another slot than its time
        ("=br=", "=rb="),
        ("=br=", "=z="),
        ("=42=", "=042="),
        ("=fresh=", "=well="),
        ("web-1", "../x"),
        ("reports/", "report/"),
    ],
)
def test_a_name_that_no_host_gives_is_not_understood(change: str, with_what: str) -> None:
    assert read_state(STATE.name.replace(change, with_what)) is None


def test_the_longest_name_can_be_stored() -> None:
    from bundle_store.names import check_name

    most = 2**53 - 1
    longest = replace(
        STATE, host=spelled_host("h" * 80), channel="c" * MAX_CHANNEL_CHARS, at=10**11, enforced=most, listed=most,
        timestamp=most, signed_at=10**11, freshness="unreachable", marks=frozenset(Mark), version="9" * 40,
    )  # fmt: skip

    assert check_name(longest.name)


def test_a_host_that_is_well_has_reported_in_the_last_two_slots() -> None:
    """Whatever its moment in a slot is, and whenever one asks."""
    folders = slots("prod", since=NOON + 1_000 - SLOT_S, until=NOON + 1_000)

    assert folders == [slot_folder("prod", NOON), slot_folder("prod", NOON + SLOT_S)]
    assert SILENT_AFTER_S == 2 * SLOT_S


def test_hosts_report_spread_over_a_slot() -> None:
    moments = [moment_in_slot(f"web-{number}") for number in range(1_000)]

    assert 0 <= min(moments) < 10 < SLOT_S - 10 < max(moments) < SLOT_S
