"""Slots: two at once, replaced when they die, refused where isolation is not what it claims, and
never left behind.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from marl_llm.sandbox import Fold, Limits, Sandbox, SandboxUnavailable, Status, launch, self_test
from marl_llm.sandbox import sandbox as pool
from marl_llm.sandbox.results import Level
from marl_llm.sandbox.selftest import check_slot
from marl_llm.sandbox.slot import Slot
from tests.dispositions import heeding_ctrl_c
from tests.sandbox.support import HONEST, descendants, running, same

SLEEPING = "import time\ntime.sleep(0.8)\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two_slots(sandbox: Sandbox) -> Iterator[Sandbox]:
    with Sandbox(slots=2) as isolated:
        yield isolated


def test_two_slots_evaluate_at_once(two_slots: Sandbox, cancer_folds: list[Fold]) -> None:
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(
            threads.map(lambda _: two_slots.evaluate(SLEEPING + HONEST, cancer_folds[:1]), range(2))
        )
    assert [outcome.status for outcome in outcomes] == [Status.ok] * 2
    assert time.perf_counter() - start < 0.8 * sum(outcome.seconds for outcome in outcomes)


def test_more_threads_than_slots_wait_and_agree(
    two_slots: Sandbox, cancer_folds: list[Fold]
) -> None:
    with ThreadPoolExecutor(6) as threads:
        outcomes = list(
            threads.map(lambda _: two_slots.evaluate(HONEST, cancer_folds[:2]), range(8))
        )
    assert all(outcome.status is Status.ok for outcome in outcomes)
    assert all(same(outcome.predictions, outcomes[0].predictions) for outcome in outcomes)


def test_a_killed_zygote_is_replaced(
    two_slots: Sandbox, cancer_folds: list[Fold], sandbox: Sandbox
) -> None:
    before = sandbox.evaluate(HONEST, cancer_folds[:1])
    slots = dict(two_slots._slots)
    for slot in slots.values():
        signal.pidfd_send_signal(slot._zygote, signal.SIGKILL)  # type: ignore[arg-type]
    after = two_slots.evaluate(HONEST, cancer_folds[:1])
    assert same(before.predictions, after.predictions)
    assert (
        len(set(slots.values()) & set(two_slots._slots.values())) == 1
    )  # the other one is replaced when its turn comes


def test_an_evaluation_whose_zygote_dies_is_repeated(
    two_slots: Sandbox, cancer_folds: list[Fold], sandbox: Sandbox
) -> None:
    two_slots.evaluate(HONEST, cancer_folds[:1])

    def kill_all() -> None:
        for slot in list(two_slots._slots.values()):
            if slot.alive:
                signal.pidfd_send_signal(slot._zygote, signal.SIGKILL)  # type: ignore[arg-type]

    threading.Timer(0.3, kill_all).start()
    evaluation = two_slots.evaluate(SLEEPING + HONEST, cancer_folds[:1])
    assert evaluation.status is Status.ok
    assert same(evaluation.predictions, sandbox.evaluate(HONEST, cancer_folds[:1]).predictions)


def test_a_slot_outlives_the_thread_that_asked_for_it_but_not_close(
    cancer_folds: list[Fold], sandbox: Sandbox
) -> None:
    made: list[Sandbox] = []
    others = descendants(os.getpid())
    maker = threading.Thread(target=lambda: made.append(Sandbox()))
    maker.start()
    maker.join()
    slot = made[0]._slots[0]
    assert made[0].evaluate(HONEST, cancer_folds[:1]).status is Status.ok
    assert made[0]._slots[0] is slot
    started = descendants(os.getpid()) - others
    assert started
    made[0].close()
    made[0].close()
    time.sleep(0.1)
    assert not running(started)
    with pytest.raises(SandboxUnavailable, match="closed"):
        made[0].evaluate(HONEST, cancer_folds[:1])


def test_evaluations_leak_no_descriptor(sandbox: Sandbox, cancer_folds: list[Fold]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for code in (HONEST, "x = (", "import os\nos._exit(1)", "import time\ntime.sleep(9)"):
        sandbox.evaluate(code, cancer_folds[:1], limits=Limits(wall_s=0.5))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


WAITING = """
import sys
import numpy as np, pandas as pd
from marl_llm.sandbox import Fold, Sandbox
frame = pd.DataFrame({"x0": np.arange(20.0)})
fold = Fold.prepare(frame, np.arange(20) % 2, frame, n_classes=2, seed=0)
sandbox = Sandbox()
print("ready", flush=True)
sandbox.evaluate("import time; time.sleep(60)", [fold])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_no_process_outlives_the_caller(number: signal.Signals, sandbox: Sandbox) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=heeding_ctrl_c,
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    started = descendants(caller.pid)
    assert len(started) >= 3  # bubblewrap, the zygote, and the child that sleeps
    caller.send_signal(number)
    caller.wait(10)
    caller.stdout.close()
    deadline = time.monotonic() + 5
    while running(started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(started)


def test_missing_bubblewrap_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SandboxUnavailable, match="bubblewrap is not installed: apt-get install bubblewrap"
    ):
        Sandbox()
    result = self_test()
    assert not result.ok
    assert "not installed" in result.summary


def test_forbidden_namespaces_are_reported_with_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "bubblewrap 0.9.0" && exit 0\n'
        'echo "bwrap: Creating new namespace failed: Operation not permitted" >&2\nexit 1\n'
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxUnavailable, match="Creating new namespace failed.*user namespaces"):
        Sandbox()


def test_a_sandbox_that_does_not_isolate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    original = launch.command
    monkeypatch.setattr(launch, "command", lambda level, *where: original(Level.none, *where))
    monkeypatch.setattr(pool, "_verified", set())
    with pytest.raises(
        SandboxUnavailable, match="not safe on this machine.*read a file of the host"
    ):
        Sandbox()


def test_self_test_passes_and_without_isolation_every_canary_gets_through(
    sandbox: Sandbox, open_sandbox: Sandbox
) -> None:
    isolated = check_slot(sandbox._slots[0], Level.bubblewrap)
    assert isolated.ok, isolated.summary
    unprotected = check_slot(open_sandbox._slots[0], Level.none)
    assert {name for name, passed, _ in unprotected.checks if passed} == {"honest code runs"}


def test_landlock_works_or_is_refused_with_a_reason(cancer_folds: list[Fold]) -> None:
    try:
        with Sandbox(level="landlock") as isolated:
            evaluation = isolated.evaluate(HONEST, cancer_folds[:1])
            assert (evaluation.status, evaluation.isolation) == (Status.ok, "landlock")
    except SandboxUnavailable as reason:
        assert "did not start" in str(reason) or "not safe" in str(reason)


def test_level_none_must_be_accepted_and_is_written_into_the_result(
    open_sandbox: Sandbox, cancer_folds: list[Fold]
) -> None:
    with pytest.raises(SandboxUnavailable, match="allow_untrusted=True"):
        Sandbox(level="none")
    with pytest.raises(SandboxUnavailable, match="choose bubblewrap, landlock, none"):
        Sandbox(level="docker")
    assert open_sandbox.evaluate(HONEST, cancer_folds[:1]).isolation == "none"


def test_levels_agree_bit_for_bit(
    sandbox: Sandbox, open_sandbox: Sandbox, cancer_folds: list[Fold]
) -> None:
    first, second = (s.evaluate(HONEST, cancer_folds).predictions for s in (sandbox, open_sandbox))
    assert same(first, second)


@pytest.mark.parametrize("kills", [1, 2])
def test_a_zygote_killed_as_it_starts_is_started_once_more(
    kills: int, cancer_folds: list[Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, wait = [kills], Slot.wait_ready

    def killed_first(slot: Slot) -> None:
        if left[0]:
            left[0] -= 1
            while not (inside := psutil.Process(slot._process.pid).children(recursive=True)):
                time.sleep(0.01)
            inside[-1].kill()
        wait(slot)

    monkeypatch.setattr(Slot, "wait_ready", killed_first)
    if kills == 1:
        with Sandbox() as sandbox:
            assert sandbox.evaluate(HONEST, cancer_folds[:1]).status is Status.ok
    else:
        with pytest.raises(SandboxUnavailable, match="ended twice as it started"):
            Sandbox()
