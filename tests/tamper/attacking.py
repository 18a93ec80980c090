"""What a row of the matrix is: who holds what, what they do with it, and what a host is expected to make of it."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from polled_host import Host
from tamper.editing import Editor
from tamper.scene import Scene

from agent_sidecar.updating import Outcome
from bundle_store.port import Store
from policy_core.bundle import build_bundle
from policy_core.matcher import encode_rules
from policy_core.model import Clauses, Decision, Rule
from policy_core.trust import layout
from policy_core.trust.release import Release

ALLOW_ALL = encode_rules([Rule(policy="forged", id="all", decision=Decision("allow"), match=Clauses(actions=("*",)))])


@dataclass(frozen=True)
class Seen:
    """How a host ends up after its poll. `text` is part of the reason it gives or, with `accepts`, said of it.

    `release` is the one it then enforces: 0 none (everything is denied), None the one from before.
    """

    outcome: Outcome
    text: str = ""
    release: int | None = None
    stops: bool = True
    is_past: bool = False

    @property
    def words(self) -> str:
        """Return the cell of the table."""
        if not self.stops:
            return f"**not stopped**: {self.text}"
        if self.is_past:
            return f"**the past**: release {self.release}; {self.text}"
        if self.outcome is Outcome.ACTIVATED:
            return f"goes to release {self.release}: {self.text}"
        if self.outcome is Outcome.UNCHANGED:
            return f"{'no effect' if self.release is None else 'no new release'}: {self.text}"
        known = {Outcome.REJECTED: "refused", Outcome.UNREACHABLE: "no usable answer"}
        return f"{known[self.outcome]}: `{self.text}`"


def refused(reason: str) -> Seen:
    """Expect a refusal that is reported, and the policy from before."""
    return Seen(Outcome.REJECTED, reason)


def unusable(reason: str) -> Seen:
    """Expect the store to count as unreachable, and the policy from before."""
    return Seen(Outcome.UNREACHABLE, reason)


def unchanged(why: str) -> Seen:
    """Expect nothing to happen."""
    return Seen(Outcome.UNCHANGED, why)


def accepts(release: int, why: str) -> Seen:
    """Expect the host to go to a release that honest people signed."""
    return Seen(Outcome.ACTIVATED, why, release)


def shown_the_past(release: int, why: str) -> Seen:
    """Expect the host to go to what honest people signed once, and have replaced since."""
    return Seen(Outcome.ACTIVATED, why, release, is_past=True)


def not_stopped(why: str, *, release: int = 3, outcome: Outcome = Outcome.ACTIVATED) -> Seen:
    """Expect the attacker to succeed."""
    return Seen(outcome, why, release, stops=False)


@dataclass
class Attacker(Editor):
    """Can write to the store and sign with the stolen keys.

    `between` is put between the host and the store, `ending` is closed when the attack is over.
    """

    scene: Scene = field(kw_only=True)
    host: Host = field(kw_only=True)
    between: Callable[[Store], Store] = field(kw_only=True, default=lambda store: store)

    ending: contextlib.ExitStack = field(kw_only=True, default_factory=contextlib.ExitStack)

    def forge(self, *, role: str = "prod", blob: bytes | None = None, **changes: Any) -> Release:
        """Put a bundle that allows everything (or `blob`) into the store and return the release that would list it."""
        live = self.release(role)
        revision = changes.get("revision", live.revision)
        forged, bundle = build_bundle(
            name=live.name, revision=revision, dirty=False, files={"matcher.jsonl": ALLOW_ALL, "data.json": b"{}"}
        )
        blob = forged if blob is None else blob
        digest = self.digest(blob)
        self.write(layout.target_object(role, live.name, digest), blob)
        about = {
            "release": live.release + 1, "sha256": digest, "length": len(blob), "provenance_sha256": "",
            "content_sha256": bundle.content_sha256, "policy_sha256": bundle.policy_sha256,
        }  # fmt: skip
        return replace(live, **{**about, **changes})

    def release_forged(self, release: Release, *, by: str = "prod", role: str = "prod", **custom: Any) -> None:
        """Make a role live that lists a forged release, signed with the key `by`; `custom` as `listing`."""
        pin = self.put(role, self.sign(self.listing(release, role=role, **custom), by))
        self.set_live(**{role: pin})

    @staticmethod
    def digest(data: bytes) -> str:
        """Return the SHA-256 as releases spell it."""
        return hashlib.sha256(data).hexdigest()

    def past(self, state: str, name: str) -> bytes:
        """Return an object as it was in an earlier state, which anybody may have kept."""
        return self.scene.past(state, name)


class Where(StrEnum):
    """What an attacker can reach, if it is not the store."""

    STORE = "the store"
    STORE_AFTER_CRASH = "the store, after a crash of the host"
    NETWORK = "the network"
    DISK = "the host's disk"
    CLOCK = "the host's clock"

    @property
    def is_on_host(self) -> bool:
        """Tell whether the host is stopped for the attack."""
        return self in {Where.DISK, Where.STORE_AFTER_CRASH}


Step = Callable[[Scene], None]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One row. `keys` are those stolen; `given` is what honest people had done before, `unseen` what no host saw yet.

    `stopped_by` says what stops it or, where it is not stopped, what bounds it. `published_over`: the owners need not
    put the store right before they publish again. `for_good`: owners cannot get such a host back from afar.
    """

    name: str
    does: str
    do: Callable[[Attacker], None]
    keys: tuple[str, ...]
    where: Where
    given: Step
    unseen: Step
    seasoned: Seen
    fresh: Seen
    stopped_by: str
    min_release: int
    published_over: bool
    for_good: bool

    @property
    def holds(self) -> str:
        """Return the cell of the table that says what the attacker has."""
        if not self.keys:
            return str(self.where)
        names = ", ".join(f"`{key}`" for key in self.keys)
        return f"{self.where}; key{'s' if len(self.keys) > 1 else ''} of {names}"


def _nothing(_: Scene) -> None:
    pass


def collector(rows: list[Attack]) -> Callable[..., Callable[[Callable[[Attacker], None]], Callable[[Attacker], None]]]:
    """Return a decorator that makes rows of functions: their names become the rows' names."""

    def attack(
        does: str,
        *,
        seasoned: Seen,
        fresh: Seen | None = None,
        stopped_by: str,
        keys: tuple[str, ...] = (),
        where: Where = Where.STORE,
        given: Step = _nothing,
        unseen: Step = _nothing,
        min_release: int = 0,
        published_over: bool = False,
        for_good: bool = False,
    ) -> Callable[[Callable[[Attacker], None]], Callable[[Attacker], None]]:
        def collect(do: Callable[[Attacker], None]) -> Callable[[Attacker], None]:
            row = Attack(
                name=do.__name__, does=does, do=do, keys=keys, where=where, given=given, unseen=unseen,
                seasoned=seasoned, fresh=fresh or seasoned, stopped_by=stopped_by, min_release=min_release,
                published_over=published_over,
                for_good=for_good,
            )  # fmt: skip
            rows.append(row)
            return do

        return collect

    return attack
