"""Rates: how often is too often, counted in sliding windows that are exact and bounded.

A rate is *reached* when `limit` allowed requests with the same key happened in the last `window_s` seconds. Keys are
the values at dotted paths, which are facts: one that is absent or no scalar is an error.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from policy_core.attributes import check_path, look_up
from policy_core.errors import InvalidError
from policy_core.memory import ForgottenError, Memory
from policy_core.model import Rate, Rule
from policy_core.request import Request

MAX_LIMIT = 10_000
MAX_WINDOW_S = 7 * 86_400
MAX_KEY_PATHS = 8
MAX_KEYS = 100_000
MAX_COUNTED = 2_000_000  # times in all windows together: 77 MiB in 200 windows, 142 MiB in 100 000
_MAX_KEY_CHARS = 200
_SWEPT_FOR_A_KEY, _SWEPT_WHEN_FULL = 2, 64  # so that a table is swept faster than it fills
_MAX_MOMENT_S = 253_402_300_800  # the year 10 000
_SCALARS = (str, bool, int, float)
_PARTS = ("subject", "action", "resource", "context")


class RateKeyError(InvalidError):
    """A request lacks what a rate counts by."""


def check_rate(rate: Rate) -> tuple[str, str] | None:
    """Return what is wrong with a rate as (message, hint), None if it can be counted."""
    if not 1 <= rate.limit <= MAX_LIMIT:
        return f"rate.limit is {rate.limit}", f"choose 1 to {MAX_LIMIT}"
    if not 1 <= rate.window_s <= MAX_WINDOW_S:
        return f"rate.window is {rate.window_s} s", f"choose 1s to {MAX_WINDOW_S // 86_400}d"
    if not 1 <= len(rate.key) <= MAX_KEY_PATHS or len(set(rate.key)) != len(rate.key):
        return "rate.key does not say what to count by", f"name 1 to {MAX_KEY_PATHS} different attributes"
    return next((found for path in rate.key if (found := check_path(path))), None)


def rate_key(rate: Rate, request: Request) -> str:
    """Return what a rate counts a request under: the JSON of its key's values, or a digest where that is long.

    Raises RateKeyError.
    """
    parts: Mapping[str, object] = {name: getattr(request, name) for name in _PARTS}
    values = []
    for path in rate.key:
        value = look_up(path, parts)
        if type(value) not in _SCALARS:
            raise RateKeyError(f"{path}: {'absent' if value is None else 'wrong type'}")
        # 3 and 3.0 are equal everywhere else, so nobody escapes a count by writing a number differently
        values.append(int(value) if type(value) is float and value.is_integer() else value)
    key = msgspec.json.encode(values).decode()
    return key if len(key) <= _MAX_KEY_CHARS else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def read_rate(rule: Rule, request: Request, memory: Memory) -> tuple[str, float | None]:
    """Return what a rated rule counts a request under, and after how many seconds it may no longer be reached.

    None instead of seconds: it is not reached. Raises RateKeyError or ForgottenError where that cannot be told.
    """
    if not 0 <= request.now < _MAX_MOMENT_S:
        raise RateKeyError("now: no moment of the calendar")
    key = rate_key(_rate(rule), request)
    return key, memory.retry_after(rule, key, request.now)


class SlidingWindows:
    """The times of the latest requests counted, by rule and key. Times never decrease; a full table is an error."""

    def __init__(self, *, max_keys: int = MAX_KEYS, max_counted: int = MAX_COUNTED) -> None:
        self._max_keys = max_keys
        self._max_counted = max_counted
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._windows: dict[str, int] = {}
        self._counted = 0
        self._names: deque[tuple[str, str]] = deque()  # in the order in which they are looked at for a sweep

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return None while the rate is not reached, else the seconds until the oldest request that matters is gone.

        Raises ForgottenError where a request could not be counted.
        """
        rate = _rate(rule)
        times = self._times.get((rule.name, key))
        if times is None:
            self._make_room(now)
            return None
        if len(times) < rate.limit:
            self._make_room(now, keys=0)
            return None
        left = times[-rate.limit] + rate.window_s - now
        return left if left > 0 else None

    def count(self, rule: Rule, key: str, now: float) -> None:
        """Note an allowed request."""
        rate = _rate(rule)
        self.note(rule.name, key, limit=rate.limit, window_s=rate.window_s, now=now)

    def note(self, rule: str, key: str, *, limit: int, window_s: int, now: float) -> None:
        """Note an allowed request under the name of a rule and the rate it had then."""
        name = rule, key
        self._windows[rule] = window_s
        times = self._times.get(name)
        if times is None:
            self._sweep(now, _SWEPT_FOR_A_KEY)
            times = self._times[name] = deque()
            self._names.append(name)
        times.append(now)
        self._counted += 1
        while len(times) > limit or times[0] <= now - window_s:
            times.popleft()
            self._counted -= 1

    def __len__(self) -> int:
        """Return how many keys have a window."""
        return len(self._times)

    def entries(self) -> Iterator[tuple[str, str, int, list[float]]]:
        """Yield all that is counted, as (rule, key, window in seconds, times)."""
        for (rule, key), times in self._times.items():
            yield rule, key, self._windows[rule], list(times)

    def forget_expired(self, now: float) -> None:
        """Drop the windows in which nothing is left."""
        self._sweep(now, len(self._names))

    def _sweep(self, now: float, count: int) -> None:
        """Look at the keys that were not looked at for longest; all at once would be 50 ms of a full table."""
        names, windows = self._names, self._windows
        for _ in range(min(count, len(names))):
            name = names.popleft()
            if self._times[name][-1] <= now - windows[name[0]]:
                self._counted -= len(self._times.pop(name))
            else:
                names.append(name)

    def _make_room(self, now: float, *, keys: int = 1) -> None:
        """Make sure that one more request can be counted, looking for keys to drop. Raises ForgottenError."""
        if not self._has_room(keys):
            self._sweep(now, _SWEPT_WHEN_FULL)
            if not self._has_room(keys):
                raise ForgottenError(f"rates: the table is full ({len(self._times)} keys, {self._counted} requests)")

    def _has_room(self, keys: int) -> bool:
        return len(self._times) + keys <= self._max_keys and self._counted < self._max_counted


def _rate(rule: Rule) -> Rate:
    if rule.rate is None:
        raise ValueError(f"{rule.name} has no rate")
    return rule.rate
