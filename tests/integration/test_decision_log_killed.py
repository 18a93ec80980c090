"""Sidecars killed with SIGKILL at random while clients ask as fast as they can: no reply is missing in the log.

A slice is one state directory and `KILLS` kills; the nightly profile runs fifty, as many on a disk that fills up, and
as many kills while the store fails that the log is shipped to. In each, whatever was read from a socket must be in the
log exactly once, nothing in it is torn, and the chain and its signatures hold.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import s3_proxy
import s3_servers
import spooled
from asking_load import UNLOGGED, Load
from effort import examples
from forking import Forker, forker
from signed_store import SignedStore, bundle, rules

from agent_sidecar.decision_log.files import SEALED, sealed_path
from agent_sidecar.host_key import KEY_FILE
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore
from policy_core import gzipped
from policy_core.decision_log.lines import MAX_SEGMENT_BYTES, decode_header

KILLS = 20
SLICES = examples(1, nightly=50)
HALF_SLICES = examples(1, nightly=100)  # of half as many kills
SHORT_SLICES = examples(1, nightly=5)
TOKEN = "a-token-of-enough-length"
AS_ROOT = [] if os.geteuid() == 0 else [shutil.which("sudo") or "false", "-n"]
PATIENCE_S = 30.0
FIRST_REPLIES = 12
"""So many replies are read before anything is killed."""
BLOCK = '[log]\nwhen_full = "block"\n'


@dataclass
class Scene:
    """A host, killed again and again, and what its clients have heard."""

    folder: Path
    state: Path
    forker: Forker
    settings: str
    seed: int
    answered: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    kills: int = 0

    def __post_init__(self) -> None:
        store = SignedStore(self.folder / "store")
        store.publish(bundle(rules("allow"), number=1))
        (self.folder / "root.json").write_bytes(store.root)
        (self.folder / "token").write_text(TOKEN)
        (self.folder / "token").chmod(0o600)
        (self.folder / "shipped").mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.socket = self.folder / "d.sock"
        (self.folder / "sidecar.toml").write_text(self.settings)
        self._arguments = [
            "--config", str(self.folder / "sidecar.toml"), "--store", store.url, "--channel", "prod", "--poll", "1h",
            "--root", str(self.folder / "root.json"), "--state", str(self.state), "--socket", str(self.socket),
            "--listen", f"127.0.0.1:{self.port}", "--token-file", str(self.folder / "token"), "--host-id", spooled.HOST,
        ]  # fmt: skip
        self._chance = random.Random(self.seed)  # noqa: S311 - no secret

    def start(self) -> int:
        process = self.forker.start(*self._arguments)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(self.socket))
                sock.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
                if sock.recv(100).startswith(b"HTTP/1.1 200"):
                    return process
            time.sleep(0.005)
        raise AssertionError((self.folder / "log").read_text()[-4000:])

    def kill_under_load(self, *, least_s: float = 0.005, first: int = 0) -> None:
        """Start a sidecar, ask, kill so many of its workers one after the other, and then the process itself."""
        process = self.start()
        load = Load(unix=self.socket, port=self.port, token=TOKEN, seed=self._chance.randrange(2**32))
        load.start()
        end = time.monotonic() + PATIENCE_S
        while len(load.answered) < FIRST_REPLIES and time.monotonic() < end:  # a machine may have other things to do
            time.sleep(0.001)
        time.sleep(least_s + self._chance.uniform(0, 0.115))
        for _ in range(first):
            with contextlib.suppress(OSError, IndexError):
                os.kill(self._chance.choice(_children(process)), signal.SIGKILL)
            time.sleep(self._chance.uniform(0, 0.1))
        workers = _children(process) if first else []
        os.kill(process, signal.SIGKILL)
        load.join()
        while not all(map(_has_ended, workers)):  # they end by themselves: nobody leads them
            time.sleep(0.01)
        self.answered |= load.answered
        self.wrong += load.wrong
        self.kills += 1

    def ship(self) -> None:
        """Take finished segments away, as a shipper does."""
        for path in sorted((self.state / "spool").glob(f"*{SEALED}")):
            shutil.move(path, self.folder / "shipped")

    def whole_log(self) -> Path:
        """Return a folder with all segments that were not shipped, after a sidecar has recovered and ended."""
        process = self.start()
        os.kill(process, signal.SIGTERM)
        end = time.monotonic() + PATIENCE_S
        while not _has_ended(process) and time.monotonic() < end:
            time.sleep(0.01)
        for path in (self.state / "spool").glob("*.jsonl"):
            shutil.copy(path, self.folder / "shipped")
        return self.folder / "shipped"

    def check(self, log: Path) -> Counter[str]:
        """Assert what the log promises; return how many records it has of each type."""
        public = bytes.fromhex(json.loads((self.state / KEY_FILE).read_bytes())["public"])
        assert spooled.flaws(log, public=public) == []
        assert not list((self.state / "spool").glob("*.damaged"))
        found = spooled.records(log)
        logged = Counter(each["answer"]["decision_id"] for each in found if each["type"] == "decision")
        withheld = {name for each in found if each["type"] == "withheld" for name in each["decision_ids"]}
        assert set(logged.values()) <= {1}
        assert [each["seq"] for each in found] == list(range(1, len(found) + 1))
        told = {name for name, reason_code in self.answered.items() if reason_code != UNLOGGED}
        assert told - logged.keys() == set()
        assert (self.answered.keys() - told) & logged.keys() <= withheld
        assert self.wrong == []
        return Counter(each["type"] for each in found)


def _children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _has_ended(process: int) -> bool:
    """Tell whether a process has ended, though nobody may have waited for it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextlib.contextmanager
def new_scene(settings: str, *, seed: int, state: Path | None = None) -> Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="writ-"))  # short, for the sockets
    try:
        with forker(folder / "log") as starts:
            yield Scene(folder, state or folder / "state", starts, settings, seed)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def small_disk(mib: int) -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="writ-")
    mount = [*AS_ROOT, "mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=1777", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        Path(folder).rmdir()
        pytest.skip("a disk can be mounted neither here nor with sudo")
    try:
        yield Path(folder)
    finally:
        subprocess.run([*AS_ROOT, "umount", "--lazy", folder], check=True)
        Path(folder).rmdir()


@pytest.mark.parametrize("number", range(SLICES))
def test_killed_at_random_every_reply_is_in_the_log_once(number: int) -> None:
    with new_scene('[log]\nwhen_full = "block"\nmax_bytes = "16MiB"\n', seed=number) as scene:
        for _ in range(KILLS):
            scene.kill_under_load()
            scene.ship()

        types = scene.check(scene.whole_log())

    assert len(scene.answered) >= FIRST_REPLIES * KILLS
    assert UNLOGGED not in scene.answered.values()
    print(f"slice {number}: {scene.kills} kills, {len(scene.answered)} replies read, records {dict(types)}")


@pytest.mark.parametrize("number", range(SHORT_SLICES))
def test_so_it_is_when_replies_wait_for_the_disk(number: int) -> None:
    with new_scene(
        '[log]\ndurability = "host"\nwhen_full = "block"\nmax_bytes = "16MiB"\n', seed=1_000 + number
    ) as scene:
        for _ in range(KILLS // 2):
            scene.kill_under_load()
            scene.ship()

        types = scene.check(scene.whole_log())

    assert len(scene.answered) > 100
    assert UNLOGGED not in scene.answered.values()
    print(f"slice {number}: {scene.kills} kills, {len(scene.answered)} replies read, records {dict(types)}")


@pytest.mark.parametrize("number", range(SHORT_SLICES))
def test_so_it_is_when_workers_write_to_one_log_and_are_killed_one_by_one(number: int) -> None:
    settings = 'workers = 3\n[log]\nwhen_full = "block"\nmax_bytes = "16MiB"\n'
    with new_scene(settings, seed=4_000 + number) as scene:
        for turn in range(KILLS // 5):
            scene.kill_under_load(first=3, least_s=0.05 * (turn % 3))
            scene.ship()

        types = scene.check(scene.whole_log())

    assert len(scene.answered) > 100
    assert UNLOGGED not in scene.answered.values()
    print(f"slice {number}: {4 * scene.kills} kills, {len(scene.answered)} replies read, records {dict(types)}")


@pytest.mark.parametrize("number", range(SLICES))
def test_on_a_disk_that_fills_up_what_is_not_logged_is_denied(number: int) -> None:
    with small_disk(3) as disk, new_scene(BLOCK, seed=2_000 + number, state=disk / "state") as scene:
        for turn in range(KILLS):
            scene.kill_under_load()
            if turn % 7 == 6:  # full for some turns, then there is room again
                scene.ship()

        scene.ship()
        types = scene.check(scene.whole_log())

    reasons = Counter(scene.answered.values())
    assert reasons[UNLOGGED] > 0
    assert reasons["matched_rule"] > 100
    print(f"slice {number}: {scene.kills} kills, replies {dict(reasons)}, records {dict(types)}")


@pytest.mark.parametrize("number", range(HALF_SLICES))
def test_so_it_is_while_the_store_that_it_is_shipped_to_fails(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(number)  # noqa: S311 - no secret
    faults = [s3_proxy.NO_ANSWER, s3_proxy.s3_error(500, "InternalError"), s3_proxy.s3_error(503, "SlowDown"), None]
    with s3_servers.moto() as endpoint, s3_proxy.proxying(endpoint) as proxy:
        s3_servers.use(endpoint, monkeypatch)
        bucket = s3_servers.make_bucket()
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.request = lambda _method, _headers: chance.choice(faults)
        settings = f'[log]\nship = "s3://{bucket}/logs"\nship_every = "1s"\nmax_bytes = "1GiB"\n'
        with new_scene(settings, seed=3_000 + number) as scene:
            for turn in range(KILLS // 2):
                scene.kill_under_load(least_s=1.3 if turn % 4 == 3 else 0.005)
            proxy.request = lambda _method, _headers: None
            log = scene.whole_log()
            shipped = collect(open_records(f"s3://{bucket}/logs"), log)

            types = scene.check(log)

    assert UNLOGGED not in scene.answered.values()
    assert len(scene.answered) > 100
    assert shipped
    print(f"slice {number}: {scene.kills} kills, {len(scene.answered)} replies, {shipped} shipped, {dict(types)}")


def collect(store: RecordsStore, folder: Path) -> int:
    """Lay the shipped segments into a folder as they were in the spool; return how many there are."""
    names = [found.name for found in store.listing("dt=")]
    for name in names:
        found = store.get(name, max_bytes=MAX_SEGMENT_BYTES)
        assert found
        content = gzipped.decompress(found.body, max_bytes=MAX_SEGMENT_BYTES)
        path = sealed_path(folder, decode_header(content.partition(b"\n")[0]).segment)
        assert not path.exists() or path.read_bytes() == content
        path.write_bytes(content)
    return len(names)
