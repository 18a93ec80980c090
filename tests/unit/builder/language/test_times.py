"""Literals of times are read as the CEL library reads them, and refused where readers could differ."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.cel import _environment
from builder.language.times import duration_s, duration_text, duration_us, timestamp_us

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of_library(call: str) -> object:
    return _environment().compile(call).eval(data={}).plain_value()


@given(st.datetimes(timezones=st.sampled_from([UTC, None])), st.sampled_from(["Z", "+00:00", "-05:30", "+14:00"]))
def test_timestamps_are_what_the_library_reads(moment: datetime, zone: str) -> None:
    text = moment.replace(tzinfo=None).isoformat() + zone

    try:
        microseconds = timestamp_us(text)
    except ValueError as error:
        assert "outside the years" in str(error)  # noqa: PT017
        assert not isinstance(of_library(f'timestamp("{text}")'), datetime)
        return

    assert of_library(f'timestamp("{text}")') == EPOCH + timedelta(microseconds=microseconds)


@given(
    st.sampled_from(["", "-", "+"]),
    st.lists(
        st.tuples(
            st.sampled_from(["0", "1", "90", "1.5", "0.25", "1000"]), st.sampled_from(["h", "m", "s", "ms", "us"])
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_durations_are_what_the_library_reads(sign: str, parts: list[tuple[str, str]]) -> None:
    text = sign + "".join(number + unit for number, unit in parts)

    try:
        microseconds = duration_us(text)
    except ValueError as error:
        assert "finer than a microsecond" in str(error)  # noqa: PT017
        return

    assert of_library(f'duration("{text}")') == timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no RFC 3339"),
        ("2026-03-01", "is no RFC 3339"),
        ("2026-03-01T00:00:00", "is no RFC 3339"),
        ("2026-03-01 00:00:00Z", "is no RFC 3339"),
        ("2026-03-01t00:00:00z", "is no RFC 3339"),
        ("2026-03-01T00:00:00+0100", "is no RFC 3339"),
        (" 2026-03-01T00:00:00Z", "is no RFC 3339"),
        ("2026-03-01T00:00:00Z\n", "is no RFC 3339"),
        ("٢٠٢٦-03-01T00:00:00Z", "is no RFC 3339"),
        ("2026-13-01T00:00:00Z", "calendar"),
        ("2026-02-29T00:00:00Z", "calendar"),
        ("2026-03-01T24:00:00Z", "calendar"),
        ("2026-03-01T00:00:60Z", "calendar"),
        ("2026-03-01T00:00:00+24:00", "calendar"),
        ("2026-03-01T00:00:00.0000001Z", "finer than a microsecond"),
        ("0001-01-01T00:00:00+01:00", "outside the years"),
        ("9999-12-31T23:59:59-01:00", "outside the years"),
    ],
)
def test_a_timestamp_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timestamp_us(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no duration"),
        ("1", "is no duration"),
        ("1d", "is no duration"),
        ("1h-1m", "is no duration"),
        ("1 h", "is no duration"),
        ("1H", "is no duration"),
        (".5s", "is no duration"),
        ("1s\n", "is no duration"),
        ("inf", "is no duration"),
        ("1ns", "finer than a microsecond"),
        ("0.1us", "finer than a microsecond"),
        ("2562048h", "longer than 292 years"),
        ("9" * 4000 + "h", "longer than 292 years"),
    ],
)
def test_a_duration_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        duration_us(text)


@given(st.integers(1, 10**9))
def test_what_a_duration_is_shown_as_is_read_back(seconds: int) -> None:
    assert duration_s(duration_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1s1m", "-1s", "1.5h", "1 h", "1h ", "\u0661s", "1ms"])
def test_durations_of_settings_have_one_spelling(text: str) -> None:
    assert duration_s(text) is None
