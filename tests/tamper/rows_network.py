"""Attacks by whoever sits between a host and the store, and answers as they like; no key is stolen."""

from collections.abc import Callable
from dataclasses import dataclass

from tamper.attacking import Attack, Attacker, Where, accepts, collector, refused, unchanged, unusable
from tamper.scene import Scene
from trickling import trickling

from bundle_store.https import HttpsStore
from bundle_store.port import ObjectNotFoundError, Store, StoreDeniedError, StoredObject
from policy_core.trust import layout

ROWS: list[Attack] = []
attack = collector(ROWS)

Answer = Callable[[Store, str, int, str], StoredObject | None]


@dataclass
class Between:
    """A store whose answers somebody else gives; `answer` gets the real one, and what `get` was asked."""

    store: Store
    answer: Answer

    @property
    def url(self) -> str:
        return self.store.url

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        return self.answer(self.store, name, max_bytes, unless_etag)


def answering(attacker: Attacker, answer: Answer) -> None:
    attacker.between = lambda store: Between(store, answer)


def rotated(scene: Scene) -> None:
    """Replace the timestamp's key, as after a theft: hosts learn of it by a new root."""
    scene.rotate("timestamp")


@attack(
    "answers *not modified* to everything",
    where=Where.NETWORK,
    unseen=Scene.publish,
    seasoned=unusable("answered 'not modified' to an unconditional request"),
    stopped_by="a freeze: seen at the next root probe, at the latest when the timestamp expires",
)
def not_modified(attacker: Attacker) -> None:
    answering(attacker, lambda _store, _name, _max_bytes, _etag: None)


@attack(
    "answers with the state of yesterday for ever",
    where=Where.NETWORK,
    unseen=Scene.publish,
    seasoned=unchanged("the metadata ages: the status turns `aging`, then `stale`"),
    fresh=accepts(2, "what it is shown has not expired"),
    stopped_by='expiry of the timestamp; with `on_stale = "deny"` nothing is allowed then',
)
def frozen(attacker: Attacker) -> None:
    attacker.scene.put_back("live")


@attack(
    "forbids the new root, so that the host holds on to a revoked key",
    where=Where.NETWORK,
    unseen=rotated,
    seasoned=unusable("the server answered 403"),
    stopped_by="a forbidden root is an error, not the newest root",
)
def forbidden_root(attacker: Attacker) -> None:
    def answer(store: Store, name: str, max_bytes: int, etag: str) -> StoredObject | None:
        if name.endswith(".root.json"):
            raise StoreDeniedError("the server answered 403")
        return store.get(name, max_bytes=max_bytes, unless_etag=etag)

    answering(attacker, answer)


@attack(
    "hides the new root, so that the host holds on to a revoked key",
    where=Where.NETWORK,
    unseen=rotated,
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="each new root brings a new timestamp, which the old root does not know",
)
def hidden_root(attacker: Attacker) -> None:
    def answer(store: Store, name: str, max_bytes: int, etag: str) -> StoredObject | None:
        if name.endswith(".root.json"):
            raise ObjectNotFoundError("not there")
        return store.get(name, max_bytes=max_bytes, unless_etag=etag)

    answering(attacker, answer)


@attack(
    "answers every request with the same document",
    where=Where.NETWORK,
    seasoned=refused("expected 'root', got 'timestamp'"),
    stopped_by="each file names its type",
)
def one_answer(attacker: Attacker) -> None:
    stored = attacker.read(layout.TIMESTAMP)
    answering(attacker, lambda _store, _name, _max_bytes, _etag: StoredObject(stored, "x"))


@attack(
    "gives a new ETag each time, to make hosts fetch for ever",
    where=Where.NETWORK,
    seasoned=unchanged("the snapshot role is unchanged, so nothing else is fetched"),
    fresh=accepts(2, "the content is honest"),
    stopped_by="bundles are kept by digest; a poll stays a few small requests",
)
def restless_etag(attacker: Attacker) -> None:
    count = iter(range(1_000))

    def answer(store: Store, name: str, max_bytes: int, _etag: str) -> StoredObject | None:
        found = store.get(name, max_bytes=max_bytes)
        return StoredObject(found.body, str(next(count))) if found else None

    answering(attacker, answer)


@attack(
    "trickles an answer without an end, one byte after the other",
    where=Where.NETWORK,
    seasoned=unusable("the answer is too slow"),
    stopped_by="an `https://` store gives an answer up whose head or body is too slow; it is tried again",
)
def slow_answer(attacker: Attacker) -> None:
    address = attacker.ending.enter_context(trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"))
    attacker.between = lambda _: HttpsStore(address, patience_s=0.1)


@attack(
    "sends the host elsewhere",
    where=Where.NETWORK,
    seasoned=unusable("the server answered 302"),
    stopped_by="redirects are refused: the configured address is the one that is asked",
)
def redirected(attacker: Attacker) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"
    address = attacker.ending.enter_context(trickling(head))
    attacker.between = lambda _: HttpsStore(address)
