"""A real sidecar process, killed before every single disk operation of an update, and started again."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from killing import Sidecars, sidecars
from signed_store import SignedStore, bundle, rules

from agent_sidecar.inspecting import verify
from agent_sidecar.state import read_state

PARTS = 2
ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
THROTTLE = bundle(rules("throttle"), number=3)


def next_release(store: SignedStore) -> None:
    store.publish(THROTTLE)


def fleet_rollback_under_new_keys(store: SignedStore) -> None:
    store.replace_keys("timestamp", "snapshot", "prod")
    store.publish(ALLOW, action="rollback")


class Scene:
    """A host that has two releases, and what its store holds next."""

    def __init__(self, folder: Path, runner: Sidecars) -> None:
        self.state = folder / "state"
        self.store = SignedStore(folder / "store")
        (folder / "root.json").write_bytes(self.store.root)
        self._saved = folder / "saved"
        self._runner = runner
        self._arguments = [
            "--store", self.store.url, "--channel", "prod", "--root", str(folder / "root.json"), "--state",
            str(self.state), "--socket", str(folder / "d.sock"),
        ]  # fmt: skip
        for blob in (ALLOW, DENY):
            self.store.publish(blob)
            assert self.run(None) == 0
        shutil.copytree(self.state, self._saved, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))

    def run(self, kill_before: int | None) -> int:
        return self._runner.run(kill_before, *self._arguments)

    def restore(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self._saved, self.state, symlinks=True)


@pytest.fixture
def scene() -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="writ-"))  # short, for the sockets
    with sidecars(folder / "log") as runner:
        yield Scene(folder, runner)
    shutil.rmtree(folder)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(
    "published", [next_release, fleet_rollback_under_new_keys], ids=lambda published: published.__name__
)
def test_killed_at_any_step_it_has_a_verified_snapshot_and_the_next_poll_completes_the_update(
    published: Callable[[SignedStore], None], part: int, scene: Scene
) -> None:
    published(scene.store)
    seen, step, ended = set(), part, -9
    while ended == -9:
        scene.restore()

        ended = scene.run(step)

        state = read_state(scene.state)
        assert state
        assert state.current
        assert [found.problem for found in verify(scene.state) if found.problem] == []
        seen.add(state.current.release)
        assert scene.run(None) == 0
        state = read_state(scene.state)
        assert state
        assert state.current
        assert state.current.release == 3
        assert [found.problem for found in verify(scene.state) if found.problem] == []
        step += PARTS
    assert ended == 0
    assert seen == {2, 3}
    assert step > 10 * PARTS
