"""A real disk that is really full: however little an update finds room for, the policy stays, and is updated later."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from polled_host import Host
from signed_store import SignedStore, bundle, rules

from agent_sidecar.inspecting import verify
from agent_sidecar.updating import Outcome

PAGE = 4096
AS_ROOT = [] if os.geteuid() == 0 else [shutil.which("sudo") or "false", "-n"]
ALLOW = bundle(rules("allow"), number=1)
LARGE = bundle(rules("deny"), number=2, **{"policies/large.yaml": os.urandom(20 * PAGE)})


@pytest.fixture
def disk() -> Iterator[Path]:
    """Yield an empty disk of its own, of 1 MiB."""
    folder = tempfile.mkdtemp(prefix="writ-")
    mount = [*AS_ROOT, "mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        Path(folder).rmdir()
        pytest.skip("a disk can be mounted neither here nor with sudo")
    yield Path(folder)
    subprocess.run([*AS_ROOT, "umount", "--lazy", folder], check=True)
    Path(folder).rmdir()


def fill(disk: Path, *, pages_left: int) -> Path:
    """Leave room for so many pages."""
    filler = disk / "filler"
    room = os.statvfs(disk).f_bavail - pages_left
    filler.write_bytes(b"x" * PAGE * room)
    assert os.statvfs(disk).f_bavail == pages_left
    return filler


def test_however_early_the_disk_is_full_the_policy_stays_and_is_updated_once_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    store = SignedStore(tmp_path / "store")
    host = Host(disk / "state", store).start()
    store.publish(ALLOW)
    host.poll()
    host.stop()
    shutil.copytree(host.path, tmp_path / "saved", symlinks=True)
    store.publish(LARGE)
    outcomes = []

    for pages_left in range(0, 40, 3):
        shutil.rmtree(host.path)
        shutil.copytree(tmp_path / "saved", host.path, symlinks=True)
        host.start()
        filler = fill(disk, pages_left=pages_left)

        outcomes.append(host.poll())

        if outcomes[-1] is Outcome.UNREACHABLE:
            assert (host.release, host.decide()) == (1, "allow")
            assert "No space left on device" in host.updater.freshness.failure.message
        host.start()
        assert host.release in {1, 2}
        assert [found.problem for found in verify(host.path) if found.problem] == []
        filler.unlink()
        host.poll()
        assert (host.release, host.decide()) == (2, "deny")
        assert not list(host.path.rglob(".tmp-*"))
        host.stop()

    assert outcomes[0] is Outcome.UNREACHABLE
    assert outcomes[-1] is Outcome.ACTIVATED
