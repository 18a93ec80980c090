"""The fleet store: what all hosts of a channel count together, in Redis, by the windows of the ``limits`` library.

A rate is a list of the times of its latest requests, the newest first, trimmed to the limit. The library's scripts look
at it and add to it in one step, so of two hosts just one gets the last place. They take the time as an argument: it is
host time, as everywhere. Whatever Redis refuses, or does not answer in time, is a ForgottenError; after a failure of
the connection nothing waits for it again until `probe` has reached it.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from agent_sidecar import logs
from policy_core.errors import UsageError
from policy_core.grants import Grant
from policy_core.memory import ForgottenError
from policy_core.model import Rule

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 0.1, 0.15
CLAIM_MARGIN_S = 86_400
"""How much longer than its grant a claim is kept: more than the clocks of two hosts ever differ."""
_PREFIX = "writ"


class FleetStore:
    """One Redis database, as one channel uses it; safe to use from any thread. Every call waits for the network."""

    def __init__(self, url: str, *, channel: str) -> None:
        """Raises UsageError if the ``fleet`` extra is not installed; connects to nothing yet."""
        try:
            from limits.storage import RedisStorage
            from redis import exceptions
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            options: dict[str, Any] = {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": ANSWER_TIMEOUT_S}
            options["retry"] = Retry(NoBackoff(), 0)  # of its own accord the library tries again and again
            storage = RedisStorage(url, key_prefix=_PREFIX, **options)
        except ImportError as error:
            raise UsageError(
                f"fleet_store: {error.name or 'limits'} is not installed", hint='pip install "writ-policy[fleet]"'
            ) from error
        self.place = place_of(url)
        self.error = ""
        self._channel = channel
        self._key = storage.prefixed_key
        self._redis: Any = storage.get_connection()
        self._window: Any = storage.lua_moving_window
        self._acquire: Any = storage.lua_acquire_moving_window
        self._failures = (exceptions.RedisError, OSError, ValueError)
        self._disconnects = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
        self._is_down = False
        self._lock = threading.Lock()

    def check_up(self) -> None:
        """Raise ForgottenError if the store did not answer last time; waits for nothing."""
        if self._is_down:
            raise ForgottenError(f"fleet store: {self.error}")

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return None while the rate of a rule is not reached, else after how many seconds it may no longer be.

        Raises ForgottenError.
        """
        name, limit, window_s = self._rate(rule, key)
        with self._answering():
            found = self._window([name], [now - window_s, limit])
            if not found or int(found[1]) < limit:
                return None
            left = float(found[0]) + window_s - now
        return left if left > 0 else None

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:
        """Count an allowed request; False, counting nothing, if another one reached the rate since it was looked up.

        Raises ForgottenError; the request may have been counted then.
        """
        name, limit, window_s = self._rate(rule, key)
        with self._answering():
            if not reached:
                return bool(self._acquire([name], [now, limit, window_s, 1]))
            # the script would refuse: what is allowed all the same is pushed as it pushes
            pushing = self._redis.pipeline(transaction=True)
            pushing.lpush(name, repr(now)).ltrim(name, 0, limit - 1).expire(name, window_s).execute()
        return True

    def is_claimed(self, grant: Grant) -> bool:
        """Tell whether a host has used a grant. Raises ForgottenError."""
        with self._answering():
            return bool(self._redis.exists(self._claim(grant)))

    def claim(self, grant: Grant, *, keep_s: float) -> bool:
        """Use a grant for the whole fleet; False if another host has. Raises ForgottenError; it may be used then."""
        with self._answering():
            return bool(self._redis.set(self._claim(grant), "used", nx=True, ex=int(keep_s) + CLAIM_MARGIN_S))

    def probe(self) -> None:
        """Find out whether a store answers that did not, or that nobody has asked yet."""
        try:
            self._redis.ping()
        except self._failures as error:
            self._went(error)
        else:
            with self._lock:
                was_down, self._is_down, self.error = self._is_down, False, ""
            if was_down:
                logs.info("fleet_store_reachable", store=self.place)

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        self._redis.connection_pool.disconnect()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.check_up()
        try:
            yield
        except self._failures as error:
            self._went(error)
            raise ForgottenError(f"fleet store: {_reason(error)}") from error

    def _went(self, error: Exception) -> None:
        with self._lock:
            is_new = self.error != _reason(error)
            self.error = _reason(error)
            self._is_down = self._is_down or isinstance(error, self._disconnects)
        if is_new:
            logs.warning("fleet_store_failed", store=self.place, reason=self.error)

    def _rate(self, rule: Rule, key: str) -> tuple[str, int, int]:
        """Return what to count a request under, of bounded length whatever the key is, and the rate."""
        if rule.rate is None:
            raise ValueError(f"{rule.name} has no rate")
        digest = hashlib.sha256(f"{len(rule.name)}:{rule.name}{key}".encode()).hexdigest()
        return self._key(f"{self._channel}:rate:{digest}"), rule.rate.limit, rule.rate.window_s

    def _claim(self, grant: Grant) -> str:
        """Return what a used grant is kept under, whatever the channel: their rules may be the same."""
        digest = hashlib.sha256(bytes.fromhex(grant.key + grant.nonce)).hexdigest()
        return self._key(f"grant:{digest}")


def place_of(url: str) -> str:
    """Return a URL without what is secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
