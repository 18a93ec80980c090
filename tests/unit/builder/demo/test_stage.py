import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from builder.demo import stage as stage_module
from builder.demo.stage import Background, DemoError, Stage, open_stage, wait_for
from policy_core.errors import report

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def start(stage: Stage, code: str) -> Background:
    (stage.directory / "sleeper.py").write_text(code)
    stage.environment["PYTHONPATH"] = str(stage.directory)
    background = stage.start("sleeper", ["sleeper"])
    wait_for("start", lambda: "up" in background.log or None, background)
    return background


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_nothing_left(seen: list[tuple[int, Path]]) -> None:
    assert seen
    for pid, directory in seen:
        assert not is_running(pid)
        assert not directory.exists()


def test_leaving_the_stage_ends_its_processes_and_removes_its_directory() -> None:
    with open_stage() as stage:
        background = start(stage, SLEEPER)

    assert not is_running(background.process.pid)
    assert not stage.directory.exists()


def test_a_failing_step_leaves_nothing_either() -> None:
    seen = []

    def block() -> None:
        with open_stage() as stage:
            seen.append((start(stage, SLEEPER).process.pid, stage.directory))
            raise DemoError("step: failed")

    with pytest.raises(DemoError):
        block()

    assert_nothing_left(seen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_block_and_what_runs_in_it(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    seen = []

    def block() -> None:
        with open_stage() as stage:
            seen.append((start(stage, SLEEPER).process.pid, stage.directory))
            os.kill(os.getpid(), number)
            threading.Event().wait(10)

    with pytest.raises(KeyboardInterrupt):
        block()

    assert_nothing_left(seen)
    assert signal.getsignal(number) is before


def test_a_signal_while_a_process_is_being_started_waits_until_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    real = stage_module.subprocess.Popen

    def interrupted_popen(*arguments: object, **options: object) -> object:
        process = real(*arguments, **options)  # type: ignore[call-overload]
        os.kill(os.getpid(), signal.SIGINT)
        started.append(process.pid)
        return process

    monkeypatch.setattr(stage_module.subprocess, "Popen", interrupted_popen)
    with pytest.raises(KeyboardInterrupt), open_stage() as stage:
        stage.run([sys.executable, "-c", SLEEPER])

    assert len(started) == 1
    assert not is_running(started[0])


def test_a_process_that_ignores_the_polite_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "GRACE_S", 0.1)

    with open_stage() as stage:
        background = start(stage, STUBBORN)

    assert background.process.returncode == -signal.SIGKILL


def test_keep_leaves_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "MAX_FOLDER_CHARS", 1000)
    monkeypatch.setattr(stage_module.tempfile, "tempdir", str(tmp_path))

    with open_stage(keep=True) as stage:
        pass

    assert stage.directory.is_dir()


def test_a_temporary_folder_too_deep_for_sockets_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module.tempfile, "tempdir", "/srv/" + "x" * 100)

    with open_stage() as stage:
        assert len(str(stage.directory / "host-a/state/admin.sock")) < 100


def test_what_could_lead_elsewhere_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "GIT_DIR", "https_proxy", "WRIT_SIGNER_PROD"):
        monkeypatch.setenv(name, "foreign")

    with open_stage() as stage:
        assert "foreign" not in stage.environment.values()
        assert Path(stage.environment["HOME"]).is_relative_to(stage.directory)


def test_a_process_that_ends_by_itself_fails_the_step_with_the_end_of_its_log() -> None:
    with open_stage() as stage:
        background = start(stage, "print('up', flush=True); print('out of order', flush=True)")

        with pytest.raises(DemoError) as caught:
            wait_for("never", lambda: None, background)

    assert report(caught.value)[:2] == ["up", "out of order"]


def test_a_step_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "WAIT_TIMEOUT_S", 0.0)

    with pytest.raises(DemoError, match="moon: did not happen"):
        wait_for("moon", lambda: None)
