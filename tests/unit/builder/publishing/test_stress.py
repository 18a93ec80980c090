"""Any operation, over any store, with a fault at any request: never two winners, never a wedge, never a lost release.

In every run each operation is killed, and loses its answer, at each write to a directory, and publish suffers all the
rest, over S3 as well; `make nightly` tries every operation with every fault over every store.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import s3_servers
from effort import PROFILE
from s3_proxy import NO_ANSWER, Answer, Proxy, proxying, s3_error
from stress.faults import FAULTS
from stress.operations import OPERATIONS
from stress.past import Past
from stress.processes import Processes
from stress.scene import Before, Scene, prepare

UNAVAILABLE, CONFLICT = 6, 7  # exit codes
NIGHTLY = PROFILE == "nightly"


def cases(*kinds: object, every_run: Callable[[str, str, Any], bool]) -> pytest.MarkDecorator:
    """Try operations on stores, in some kinds: of all combinations those of `every_run`, by night all."""
    combinations = itertools.product(("file", *s3_servers.SERVERS), OPERATIONS, kinds)
    chosen = [case for case in combinations if NIGHTLY or every_run(*case)]
    return pytest.mark.parametrize(("store_url", "operation", "kind"), chosen, indirect=["store_url"])


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Past], None]], Before]:
    return cache(lambda past: prepare(past, tmp_path_factory.mktemp("past")))


@pytest.fixture
def scene(
    stage: Processes, prepared: Callable[[Callable[[Past], None]], Before], store_url: str, tmp_path: Path
) -> Callable[..., Scene]:
    """Make scenes of an operation, each with a store and a folder of its own."""

    def make(operation: str, name: str) -> Scene:
        return Scene.of(prepared(OPERATIONS[operation].past), stage, tmp_path / f"scene-{name}", f"{store_url}/{name}")

    return make


def points(requests: list[str], fault: str) -> list[int]:
    """Return at which requests, counted from 1, a fault strikes."""
    writes = [number for number, request in enumerate(requests, 1) if request.startswith("put")]
    if NIGHTLY and fault in {"killed", "killed-after", "unknown"}:
        return [*range(1, len(requests) + 1)]
    # Reading changes nothing, so a death after a write is the same as before the next one.
    return writes[-1:] if fault == "killed-after" else writes


def strike(scene: Callable[..., Scene], operation: str, fault: str, at: int, before: int) -> Scene:
    """Let a fault strike an operation; hosts see the old state or the new one, whole."""
    struck = scene(operation, f"{fault}-{at}")
    ended = struck.run(operation, fault=fault, at=at)
    releases = struck.releases()
    new = OPERATIONS[operation].releases
    if fault.startswith("killed"):
        assert ended.code == -9
        assert releases in {before, before + new}
    else:
        assert ended.code in {0, UNAVAILABLE, CONFLICT}, ended
        assert releases in ({before + new} if ended.code == 0 else {before, before + new}), ended
    return struck


@pytest.fixture
def strikes(scene: Callable[..., Scene], subtests: Any) -> Callable[..., Iterator[tuple[Scene, int, Any]]]:
    """Iterate over all that a fault can do to an operation: the scene afterwards, and how many releases to expect."""

    def iterate(operation: str, fault: str) -> Iterator[tuple[Scene, int, Any]]:
        undisturbed = scene(operation, "undisturbed")
        before = undisturbed.releases()
        for at in points(undisturbed.run(operation).requests, fault):
            yield strike(scene, operation, fault, at, before), before, subtests.test(at=at)

    return iterate


@cases(
    *FAULTS,
    every_run=lambda store, operation, fault: (
        (store == "file" and (operation == "publish" or fault == "lost"))
        or (store, operation, fault) == ("ministack", "publish", "killed")
        or (store == "ceph" and fault in {"killed", "lost"})
    ),
)
def test_a_struck_operation_is_completed_by_the_next_try(strikes: Any, operation: str, kind: str) -> None:
    for struck, before, subtest in strikes(operation, kind):
        with subtest:
            assert struck.run(operation).code in {0, OPERATIONS[operation].again}
            assert struck.releases() == before + OPERATIONS[operation].releases
            struck.check_ledger()


@cases("killed", "killed-after", every_run=lambda store, _operation, _fault: store == "file")
def test_a_killed_operation_is_in_nobodys_way(strikes: Any, operation: str, kind: str) -> None:
    for struck, _, subtest in strikes(operation, kind):
        with subtest:
            other = struck.someone_else()
            other.commit_policy("other")
            channel, expected = OPERATIONS[operation].then, OPERATIONS[operation].releases
            releases = other.releases(channel)

            published = other.publish(channel)

            assert published.code == 0, published
            assert other.releases(channel) == releases + 1
            struck.fetch(other)
            releases = struck.releases()
            again = struck.run(operation)
            assert again.code in {0, OPERATIONS[operation].again, CONFLICT}, again  # superseded
            assert struck.releases() - releases in {0, expected}
            struck.check_ledger()


@cases(1, 3, every_run=lambda store, _operation, orphans: (store, orphans) == ("file", 3))
def test_numbers_that_are_taken_by_orphans_are_passed_over(scene: Any, operation: str, kind: int) -> None:
    littered = scene(operation, "littered")
    before = littered.releases()
    for role in ("targets", "snapshot", "staging", "prod", "prod.oncall", "canary"):
        littered.litter(role, kind)

    ended = littered.run(operation)

    if operation == "complete":  # people have signed for one number: with that taken, it is proposed to them anew
        assert ended.code == CONFLICT, ended
        assert littered.run("propose").code == 0
        return
    assert ended.code == 0, ended
    assert littered.releases() == before + OPERATIONS[operation].releases


ANSWERS = (
    s3_error(409, "ConditionalRequestConflict"),
    s3_error(412, "PreconditionFailed"),
    s3_error(500, "InternalError"),
    s3_error(503, "SlowDown"),
    NO_ANSWER,
)


@pytest.fixture
def proxy(store_url: str) -> Iterator[Proxy]:
    with proxying(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


def lies(writes: int) -> Iterator[tuple[int, Answer, bool]]:
    """Yield which write gets which answer, and whether it is applied: by night all, else some, all kinds among them."""
    for at in range(1, writes + 1):
        for number, answer in enumerate(ANSWERS):
            for applied in (False, True):
                if NIGHTLY or (number, applied) == (at % len(ANSWERS), at // len(ANSWERS) % 2 == at % 2):
                    yield at, answer, applied


def lie(proxy: Proxy, at: int, answer: Answer, *, applied: bool) -> None:
    """Let the proxy give this answer to the write number `at`, after or without passing it on."""
    writes = 0

    def before(method: str, _: object) -> Answer | None:
        nonlocal writes
        writes += method == "PUT"
        return answer if (method, writes, applied) == ("PUT", at, False) else None

    proxy.request = before
    proxy.answer = lambda method, real: answer if (method, writes, applied) == ("PUT", at, True) else real


@pytest.mark.parametrize("operation", OPERATIONS if NIGHTLY else ["publish", "rotate-root"])
@pytest.mark.parametrize("store_url", s3_servers.EMULATORS if NIGHTLY else ["ministack"], indirect=True)
def test_an_answer_that_says_nothing_is_no_answer(
    scene: Callable[..., Scene], proxy: Proxy, operation: str, subtests: Any
) -> None:
    undisturbed = scene(operation, "undisturbed")
    before = undisturbed.releases()
    through = {"AWS_ENDPOINT_URL": proxy.url}
    assert undisturbed.run(operation, environment=through).code == 0

    for at, answer, applied in lies(proxy.seen.count("PUT")):
        with subtests.test(at=at, answer=answer.status, applied=applied):
            lied_to = scene(operation, f"{at}-{answer.status}-{applied}")
            lie(proxy, at, answer, applied=applied)

            ended = lied_to.run(operation, environment=through)

            assert ended.code in {0, UNAVAILABLE, CONFLICT}, ended
            after = before + OPERATIONS[operation].releases
            assert lied_to.releases() in ({after} if ended.code == 0 else {before, after})
            assert lied_to.run(operation).code in {0, OPERATIONS[operation].again}
            assert lied_to.releases() == after
            lied_to.check_ledger()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("store_url", s3_servers.EMULATORS, indirect=True)
def test_what_is_asked_of_a_store_is_what_a_server_is_asked(
    scene: Callable[..., Scene], proxy: Proxy, operation: str
) -> None:
    ended = scene(operation, "counted").run(operation, environment={"AWS_ENDPOINT_URL": proxy.url})

    assert (ended.code, len(ended.requests), len(proxy.seen)) == (0, *[OPERATIONS[operation].requests] * 2)


@pytest.mark.parametrize("operation", OPERATIONS if NIGHTLY else ["publish", "complete", "refresh"])
@pytest.mark.parametrize("store_url", ["ministack"], indirect=True)
def test_a_server_that_wants_bare_etags_is_served(scene: Any, proxy: Proxy, operation: str) -> None:
    proxy.request = lambda _, headers: (
        s3_error(412, "PreconditionFailed") if headers.get("If-Match", "").startswith('"') else None
    )
    picky = scene(operation, "picky")
    before = picky.releases()

    ended = picky.run(operation, environment={"AWS_ENDPOINT_URL": proxy.url})

    assert ended.code == 0, ended
    assert picky.releases() == before + OPERATIONS[operation].releases
