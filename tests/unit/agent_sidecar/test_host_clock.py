"""Host time never goes back."""

from agent_sidecar.host_clock import HostClock


def test_host_time_follows_the_clock_forward_and_never_back() -> None:
    times = iter([10.0, 20.0, 5.0, 25.0])
    clock = HostClock(clock=lambda: next(times))

    assert [clock() for _ in range(4)] == [10.0, 20.0, 20.0, 25.0]


def test_a_signed_or_remembered_time_is_a_floor() -> None:
    clock = HostClock(highest=50.0, clock=lambda: 10.0)
    clock.raise_to(60.0)
    clock.raise_to(55.0)

    assert clock() == 60.0
    assert clock.behind_s == 50.0


def test_a_clock_behind_within_the_tolerance_is_no_alarm() -> None:
    assert HostClock(highest=13.0, clock=lambda: 10.0).behind_s == 0.0


def test_what_is_ahead_is_told_by_the_system_clock_alone() -> None:
    clock = HostClock(highest=500.0, clock=lambda: 10.0)

    assert [clock.is_ahead(seconds, tolerance_s=5.0) for seconds in (15.0, 15.1)] == [False, True]
