"""Attacks on the labels, on the zygote and on the machine. Where it is safe, they are shown to work
unprotected.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from marl_llm.sandbox import Fold, Limits, Sandbox, Stage, Status
from marl_llm.sandbox.encode import encode
from tests.sandbox.attacks import CARRIERS, ESCAPES, Attack
from tests.sandbox.support import ESTIMATOR, accuracy, failing_with, noise, prepare, splits

CARRIED = 0.9  # accuracy on pure noise that only carried labels can give
CHANCE = 0.7


@pytest.fixture(scope="module")
def host_values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Things of the host that attacks are after."""
    secret = tmp_path_factory.mktemp("labels") / "hidden_labels.csv"
    secret.write_text("id,label\n1,0\n")
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield {"secret": str(secret), "folder": str(secret.parent), "port": server.getsockname()[1]}


@pytest.fixture
def clean_host() -> Iterator[None]:
    """Remove what carriers leave behind where nothing stops them."""
    yield
    Path("/tmp/marl-carrier.json").unlink(missing_ok=True)
    shutil.rmtree("/tmp/marl-carrier", ignore_errors=True)
    subprocess.run(["ipcrm", "-M", "0x4D41524C"], capture_output=True, check=False)


@pytest.mark.parametrize("attack", ESCAPES, ids=lambda attack: attack.name)
def test_attack_is_stopped(
    attack: Attack,
    sandbox: Sandbox,
    noise_folds: list[Fold],
    host_values: dict[str, object],
    check_health: Callable[[], None],
) -> None:
    evaluation = failing_with(sandbox, attack.text(**host_values), noise_folds[0])
    assert "GOT" not in evaluation.error
    stopped = evaluation.status is Status.error and "STOPPED" in evaluation.error
    assert stopped or evaluation.status is Status.tamper, evaluation
    check_health()


@pytest.mark.parametrize(
    "attack", [a for a in ESCAPES if a.control], ids=lambda attack: attack.name
)
def test_attack_would_succeed_without_isolation(
    attack: Attack, open_sandbox: Sandbox, noise_folds: list[Fold], host_values: dict[str, object]
) -> None:
    evaluation = failing_with(open_sandbox, attack.text(**host_values), noise_folds[0])
    assert "GOT" in evaluation.error, evaluation


@pytest.mark.parametrize("attack", CARRIERS, ids=lambda attack: attack.name)
def test_labels_cannot_be_carried_from_fold_to_fold(
    attack: Attack,
    sandbox: Sandbox,
    noise_folds: list[Fold],
    check_health: Callable[[], None],
    clean_host: None,
) -> None:
    evaluation = sandbox.evaluate(attack.text(), noise_folds)
    assert evaluation.status is Status.ok, evaluation.error
    assert accuracy(evaluation, noise()[1]) < CHANCE
    check_health()


@pytest.mark.parametrize(
    "attack", [a for a in CARRIERS if a.control], ids=lambda attack: attack.name
)
def test_labels_could_be_carried_without_isolation(
    attack: Attack, open_sandbox: Sandbox, noise_folds: list[Fold], clean_host: None
) -> None:
    # Folds run at once, so one may read what another is writing: once in several is enough.
    evaluations = (open_sandbox.evaluate(attack.text(), noise_folds) for _ in range(6))
    assert any(accuracy(evaluation, noise()[1]) > CARRIED for evaluation in evaluations)


SORTED_FILE = (
    ESTIMATOR
    + """
class ByPosition(Base):
    def predict_proba(self, X):
        half = len(X) // 2
        return np.eye(2)[[0] * half + [1] * (len(X) - half)]
def build_pipeline():
    return ByPosition()
"""
)
SORTED_TRAINING = (
    ESTIMATOR
    + """
class ByGap(Base):
    def fit(self, X, y):
        self.y = np.asarray(y)
        return super().fit(X, y)
    def predict_proba(self, X):
        return np.eye(2)[self.y[np.linspace(0, len(self.y) - 1, len(X)).astype(int)]]
def build_pipeline():
    return ByGap()
"""
)


def unpermuted() -> list[Fold]:
    """The same folds, rows in the order of the file."""
    frame, labels = noise()
    folds = []
    for train, valid in splits(labels):
        blocks = (
            encode(frame.iloc[train], labels[train]),
            encode(frame.iloc[valid]),
            encode(frame.iloc[valid[:1]]),
        )
        folds.append(Fold(blocks, np.arange(len(train)), np.arange(len(valid)), np.arange(1), 2))
    return folds


@pytest.mark.parametrize(
    "code", [SORTED_FILE, SORTED_TRAINING], ids=["validation order", "training order"]
)
def test_position_in_a_sorted_file_says_nothing_about_the_label(
    code: str, open_sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    permuted = open_sandbox.evaluate(code, noise_folds, probe="never")
    assert accuracy(permuted, noise()[1]) < CHANCE
    plain = open_sandbox.evaluate(code, unpermuted(), probe="never")
    assert accuracy(plain, noise()[1]) > CARRIED


def test_secret_order_is_the_same_in_every_run_and_differs_with_the_seed() -> None:
    frame, labels = noise()
    first, again = prepare(frame, labels)[0], prepare(frame, labels)[0]
    assert np.array_equal(first.valid_order, again.valid_order)
    assert np.array_equal(first.train_order, again.train_order)
    train, valid = splits(labels)[0]
    other = Fold.prepare(frame.iloc[train], labels[train], frame.iloc[valid], n_classes=2, seed=1)
    assert not np.array_equal(first.valid_order, other.valid_order)


FORGED = (
    ESTIMATOR
    + """
frame = struct.Struct("<cI")
rows = 40
labels = np.ones(rows, "<i8").tobytes() + np.tile([0.0, 1.0], rows).astype("<f8").tobytes()
"""
)
FORGERIES = {
    "an unknown frame": "os.write(3, frame.pack(b'S', 8) + bytes(8)); time.sleep(9)",
    "a claimed score": "os.write(3, frame.pack(b'C', 12) + b'{\"f1\": 1.00}'); time.sleep(9)",
    "endless frames": "while True: os.write(3, frame.pack(b'C', 0) * 1000)",
    "a frame of four gigabytes": "os.write(3, frame.pack(b'C', 0) + frame.pack(b'B', 2**32 - "
    "1)); time.sleep(9)",
    "predictions before the fit": "os.write(3, frame.pack(b'P', len(labels)) + labels); "
    "time.sleep(9)",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_frames_end_the_evaluation(
    name: str, sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    evaluation = failing_with(sandbox, FORGED + FORGERIES[name], noise_folds[0])
    assert evaluation.status is Status.protocol
    check_health()


def test_a_perfectly_forged_exchange_yields_predictions_and_no_score(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    steps = (
        "b''.join(frame.pack(kind, 0) for kind in (b'C', b'B', b'F')) + frame.pack(b'P', "
        "len(labels)) + labels"
    )
    forged = FORGED + f"os.write(3, {steps}); time.sleep(9)"
    evaluation = sandbox.evaluate(forged, noise_folds[:1], probe="never")
    assert evaluation.status is Status.ok
    assert (
        evaluation.predictions[0].labels.tolist() == [1] * 40
    )  # worthless: the metric is computed outside


@pytest.mark.parametrize(
    "text",
    ["'[' * 60000", "'9' * 60000", "'\\xff\\x00'", "'null'"],
    ids=["deep", "long", "bytes", "null"],
)
def test_unreadable_reports_do_no_harm(
    text: str, sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    report = (
        f"text = ({text}).encode('latin-1'); os.write(3, frame.pack(b'E', len(text)) + text); "
        "time.sleep(9)"
    )
    evaluation = failing_with(sandbox, FORGED + report, noise_folds[0])
    assert evaluation.status is Status.error
    assert evaluation.error == "Unreadable: the report is not JSON"


def test_validation_rows_are_not_sent_before_the_host_saw_the_fit(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    early = """
class Early(Base):
    def fit(self, X, y):
        os.set_blocking(3, False)
        time.sleep(0.3)
        try:
            got = os.read(3, 100)
        except BlockingIOError:
            got = None
        raise Exception("GOT %r" % got if got else "STOPPED")
def build_pipeline():
    return Early()
"""
    assert "STOPPED" in failing_with(sandbox, ESTIMATOR + early, noise_folds[0]).error


def test_descriptors_sent_by_a_candidate_do_not_reach_the_host(
    sandbox: Sandbox, noise_folds: list[Fold]
) -> None:
    sending = """
import array
sock = socket.socket.__new__(socket.socket)
class Iov(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p),
                ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int)]
data = ctypes.create_string_buffer(b"C" + bytes(4), 5)
iov = Iov(ctypes.addressof(data), 5)
control = ctypes.create_string_buffer(struct.pack("QIIi", 20, 1, 1, 3), 24)
message = Message(None, 0, ctypes.addressof(iov), 1, ctypes.addressof(control), 24, 0)
raise Exception("sent %d" % libc.sendmsg(3, ctypes.byref(message), 0))
"""
    before = len(list(Path("/proc/self/fd").iterdir()))
    evaluation = failing_with(sandbox, ESTIMATOR + sending, noise_folds[0])
    assert evaluation.status in (Status.error, Status.protocol)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


POISON = """
import sklearn.linear_model as lm, sklearn.pipeline as pl, sklearn.metrics as metrics, numpy as np
lm.LogisticRegression.fit = lambda self, X, y: 1 / 0
pl.Pipeline.predict_proba = lambda self, X: 1 / 0
metrics.f1_score = lambda *a, **k: 1.0
np.nan = 5
def build_pipeline():
    return lm.LogisticRegression()
"""


def test_patched_libraries_do_not_reach_the_next_candidate(
    sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    assert (
        "ZeroDivisionError" in failing_with(sandbox, POISON, noise_folds[0]).error
    )  # the patch works in its own child
    check_health()


ENDLESS = {
    "sleeps": "time.sleep(60)",
    "ignores signals": """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
""",
    "computes in C": "x = 3 ** (10 ** 9)",
    "never finishes its error message": """
class Endless(Exception):
    def __str__(self):
        while True:
            pass
raise Endless()
""",
    "fits for ever": """
from sklearn.ensemble import RandomForestClassifier
def build_pipeline():
    return RandomForestClassifier(10**6, n_jobs=-1)
""",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_code_meets_the_deadline(
    name: str, sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    evaluation = failing_with(
        sandbox, ESTIMATOR + ENDLESS[name], noise_folds[0], Limits(wall_s=1.0)
    )
    assert evaluation.status is Status.timeout
    assert evaluation.seconds < 5  # the machine may be busy
    check_health()


def test_cpu_time_of_all_threads_is_limited(sandbox: Sandbox, noise_folds: list[Fold]) -> None:
    spinning = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    evaluation = failing_with(sandbox, spinning, noise_folds[0], Limits(wall_s=20, cpu_s=1))
    assert evaluation.status is Status.cpu_limit


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np\nnp.ones(10**10)",
        "x = []\nwhile True: x.append(bytes(1 << 20))",
        "b'x' * (1 << 40)",
    ],
    ids=["one array", "bit by bit", "one string"],
)
def test_memory_is_limited(
    code: str, sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    limits = Limits(wall_s=10.0, memory_bytes=256 << 20)
    assert failing_with(sandbox, code, noise_folds[0], limits).status is Status.memory
    check_health()


def test_threads_are_limited(
    sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    bomb = """
import threading, time
count = 0
try:
    for _ in range(500):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        count += 1
except RuntimeError:
    pass
raise Exception(f"threads {count}")
"""
    error = failing_with(sandbox, bomb, noise_folds[0], Limits(wall_s=10.0)).error
    assert 8 < int(error.split("threads ")[1].split()[0]) <= 64
    check_health()


HARMLESS_NOISE = {
    "prints megabytes": "for _ in range(20): print('x' * (1 << 20)); os.write(1, b'x' * 1000)",
    "leaks busy threads": """
import threading
def spin():
    while True:
        pass
for _ in range(3):
    threading.Thread(target=spin, daemon=True).start()
""",
    "signals everybody": "try:\n    os.kill(-1, 9)\nexcept OSError:\n    pass",
}


@pytest.mark.parametrize("name", HARMLESS_NOISE)
def test_noise_changes_nothing_for_the_next_candidate(
    name: str, sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    evaluation = sandbox.evaluate(ESTIMATOR + HARMLESS_NOISE[name], noise_folds[:1])
    assert evaluation.status is Status.ok, evaluation.error
    check_health()


def test_a_crash_is_reported_as_such(
    sandbox: Sandbox, noise_folds: list[Fold], check_health: Callable[[], None]
) -> None:
    crash = failing_with(sandbox, "import ctypes\nctypes.string_at(0)", noise_folds[0])
    assert (crash.status, crash.stage) == (Status.died, Stage.none)
    assert "SIGSEGV" in crash.error
    quiet = failing_with(sandbox, "import os\nos._exit(0)", noise_folds[0])
    assert quiet.status is Status.died
    check_health()
