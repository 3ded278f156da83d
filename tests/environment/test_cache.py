from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.predictions import Predictions
from marl_llm.environment import EnvironmentConfig, Evaluator
from marl_llm.environment.bench import benchmark
from marl_llm.environment.cache import PASSING, EvaluationCache, blob_store, keys
from marl_llm.environment.cache.blob_store import BlobStore
from marl_llm.environment.cache.keys import fold_key, run_key
from marl_llm.environment.cache.records import Unreadable, dump, load
from marl_llm.proposals import baseline, generate_code
from marl_llm.sandbox import Evaluation, Fold, Limits, Stage, Status
from tests.environment.cache_worker import content
from tests.fixtures import small_task

SPEC = baseline(Kind.binary)
CODE = generate_code(SPEC)
WORKER = Path(__file__).with_name("cache_worker.py")


def run_of(
    status: Status = Status.ok, predictions: tuple[Predictions, ...] = (), **changes
) -> Evaluation:
    return dataclasses.replace(
        Evaluation(status, Stage.predicted, predictions, "", None, 1.5, 1.25, "bubblewrap"),
        **changes,
    )


def same(a: Evaluation, b: Evaluation) -> bool:
    arrays = [
        (x.labels, y.labels, x.proba, y.proba)
        for x, y in zip(a.predictions, b.predictions, strict=True)
    ]
    plain = [dataclasses.replace(one, predictions=()) for one in (a, b)]
    return plain[0] == plain[1] and all(
        np.array_equal(p, q)
        and p.dtype == q.dtype
        and (r is None) == (s is None)
        and (r is None or np.array_equal(r, s))
        for p, q, r, s in arrays
    )


@st.composite
def predictions(draw) -> Predictions:
    rows, classes = draw(st.integers(1, 20)), draw(st.sampled_from([None, 2, 5]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if classes is None:
        return Predictions(rng.normal(size=rows) * 10.0 ** rng.integers(-300, 300))
    return Predictions(rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows))


texts = st.text(max_size=30)
runs = st.builds(
    run_of,
    status=st.sampled_from(Status),
    predictions=st.lists(predictions(), max_size=3).map(tuple),
    error=texts,
    description=st.none()
    | st.fixed_dictionaries({"class": texts, "params": st.dictionaries(texts, texts)}),
)


@given(runs)
def test_a_run_comes_back_from_its_bytes_unchanged(run):
    assert same(load(dump(run)), run)


@settings(max_examples=200)
@given(runs, st.data())
def test_cut_or_lengthened_bytes_are_refused(run, data):
    whole = dump(run)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for broken in (whole[:cut], whole + b"\0"):
        with pytest.raises(Unreadable):
            load(broken)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_record_are_refused(garbage):
    with pytest.raises(Unreadable):
        load(garbage)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "evaluations.sqlite"


def evaluator(sandbox, file: Path | None, task=None, **changes) -> Evaluator:
    config = EnvironmentConfig(cv_folds=2, cache=str(file) if file else None)
    return Evaluator(task or small_task(Kind.binary), sandbox, config, **changes)


def test_another_process_would_find_the_same_result_without_a_fit(sandbox, file):
    cold, uncached = evaluator(sandbox, file), evaluator(sandbox, None)
    first, plain, test = cold.evaluate(CODE), uncached.evaluate(CODE), cold.test_scores(SPEC)
    assert cold.fits == 4 and cold.runs == 1
    warm = evaluator(sandbox, file)
    again = warm.evaluate("# laid out anew\n" + CODE)
    assert (warm.fits, warm.runs, warm.hits) == (0, 0, 1)
    for found in (first, again):
        assert found.cv == plain.cv and found.holdout == plain.holdout
        assert np.array_equal(found.out_of_fold.proba, plain.out_of_fold.proba)
        assert np.array_equal(found.holdout_predictions.labels, plain.holdout_predictions.labels)
        assert found.isolation == plain.isolation
    assert again.seconds == first.seconds and again.description == first.description != {}
    assert warm.test_scores(SPEC) == test and warm.fits == 0


def test_scores_are_not_stored_but_computed_with_the_tasks_metrics(sandbox, file):
    task = small_task(Kind.binary)
    evaluator(sandbox, file, task).evaluate(CODE)
    other = evaluator(sandbox, file, dataclasses.replace(task, metrics={"accuracy": 1.0}))
    assert set(other.evaluate(CODE).holdout.raw) == {"accuracy"} and other.fits == 0


def test_failing_code_is_not_run_again(sandbox, file):
    broken = CODE.replace("est)", "model)")
    first = evaluator(sandbox, file).evaluate(broken)
    warm = evaluator(sandbox, file)
    assert warm.evaluate(broken).error == first.error and warm.fits == 0 and not first.ok


@pytest.mark.parametrize("status", Status)
def test_ends_that_a_busy_machine_can_cause_are_never_stored(status):
    cache = EvaluationCache(None, 1)
    cache.put("key", run_of(status))
    assert (cache.get("key") is None) == (status in PASSING)
    assert {Status.timeout, Status.died} <= PASSING


def key(**changes) -> str:
    values = {
        "tree": "t",
        "prelude": "p",
        "fold": "f",
        "seed": 0,
        "limits": Limits(),
        "level": "bubblewrap",
        "describe": True,
        "probe": False,
    }
    return run_key(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"tree": "u"},
        {"prelude": "q"},
        {"fold": "g"},
        {"seed": 1},
        {"limits": Limits(wall_s=21)},
        {"limits": Limits(memory_bytes=1 << 30)},
        {"level": "landlock"},
        {"describe": False},
        {"probe": True},
        {"tree": "tp", "prelude": ""},
    ],
    ids=str,
)
def test_whatever_can_change_a_prediction_changes_the_key(changes):
    assert key(**changes) != key() and len(key()) == 64


def test_another_version_of_a_library_is_another_key(monkeypatch):
    before, installed = key(), keys.versions()
    assert {"python", "numpy", "pandas", "scikit-learn", "scipy"} <= set(installed)
    monkeypatch.setattr(keys, "versions", lambda: {**installed, "scikit-learn": "0.1"})
    assert key() != before


def test_another_kernel_is_another_key(monkeypatch):
    before, used = key(), keys.kernels_in_use()
    assert used.blas
    for other in (
        used._replace(blas=("openblas 0.3.30 Cooperlake",)),
        used._replace(simd=("AVX2",)),
    ):
        monkeypatch.setattr(keys, "kernels_in_use", lambda other=other: other)
        assert key() != before


def test_a_variable_that_chooses_the_kernel_changes_the_key(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    before = key()
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert key() != before


def test_the_key_of_a_fold_changes_with_every_cell_label_and_order():
    frame = pd.DataFrame({"x0": [1.0, 2.0, 3.0, 4.0], "x1": ["a", "b", "a", None]}).astype(
        {"x1": object}
    )
    y, rows = np.array([0, 1, 0, 1]), frame.iloc[::-1].reset_index(drop=True)

    def made(X=frame, labels=y, valid=rows, n_classes=2, seed=0) -> str:
        return fold_key(Fold.prepare(X, labels, valid, n_classes=n_classes, seed=seed))

    others = [
        made(X=frame.replace(4.0, 4.5)),
        made(X=frame.replace("b", "c")),
        made(labels=y[::-1]),
        made(valid=rows.replace(1.0, 1.5)),
        made(X=frame.set_axis(["x0", "x2"], axis=1), valid=rows.set_axis(["x0", "x2"], axis=1)),
        made(valid=frame),
        made(n_classes=3),
        made(seed=1),
    ]
    assert made() == made() and len({made(), *others}) == len(others) + 1
    fold = Fold.prepare(frame, y, rows, n_classes=2, seed=0)
    before, fold.valid_order = fold_key(fold), fold.valid_order[::-1].copy()
    assert fold_key(fold) != before


def test_a_full_store_lets_the_least_recently_used_go_and_keeps_to_its_size(file):
    store = BlobStore(file, 1 << 20)
    store.put("precious", content("precious"))
    for number in range(1500):
        store.put(f"k{number}", content(f"k{number}"))
        assert store.get("precious") is not None
    assert store.get("k1499") == content("k1499") and store.get("k0") is None
    store.close()
    kept = sqlite3.connect(file)
    assert kept.execute("SELECT count(*) FROM entries").fetchone()[0] > 200
    assert file.stat().st_size <= (1 << 20) + 8192


def test_use_is_remembered_beyond_the_process(file):
    first = BlobStore(file, 1 << 20)
    for number in range(100):
        first.put(f"k{number}", content(f"k{number}"))
    first.get("k0")
    first.close()
    second = BlobStore(file, 1 << 20)
    for number in range(100, 400):
        second.put(f"k{number}", content(f"k{number}"))
        left = {name for (name,) in sqlite3.connect(file).execute("SELECT key FROM entries")}
        if "k1" not in left:
            break
    assert "k0" in left and "k1" not in left


def test_what_would_fill_half_the_store_is_not_kept(file):
    store = BlobStore(file, 1 << 20)
    store.put("small", b"1")
    store.put("huge", bytes(1 << 20))
    assert store.get("huge") is None and store.get("small") == b"1"


def worker(*arguments: object, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, WORKER, *map(str, arguments)], env=environment, text=True, **options
    )


def intact(file: Path) -> int:
    """Number of entries, each read and checked."""
    assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = BlobStore(file, 1 << 20)
    names = [name for (name,) in sqlite3.connect(file).execute("SELECT key FROM entries")]
    assert all(store.get(name) == content(name) for name in names)
    store.close()
    return len(names)


def test_processes_that_make_and_fill_a_cache_at_once_do_no_harm(file):
    writers = [worker("write", file, seed, 150, stderr=subprocess.PIPE) for seed in range(3)]
    said = [one.communicate(timeout=120)[1] for one in writers]
    assert [one.returncode for one in writers] == [0] * 3 and said == [""] * 3
    assert intact(file) > 30


def test_a_writer_that_is_killed_leaves_a_sound_cache(file):
    for wait in (0.0, 0.02):
        victim = worker("endless", file, stdout=subprocess.PIPE)
        assert victim.stdout.readline() == "writing\n"
        time.sleep(wait)
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=60)
        assert intact(file) >= 20


def test_a_second_store_in_a_process_does_not_lose_the_first_ones_locks(file):
    """Without its locks another process takes itself for the last one and deletes the log that is
    being written.
    """
    first = BlobStore(file, 1 << 20)
    first.put("a", content("a"))
    second = BlobStore(file, 1 << 20)
    other = worker("write", file, "1", "5")
    assert other.wait(timeout=60) == 0
    assert file.with_name(f"{file.name}-wal").is_file()
    second.close()
    assert first.get("a") == content("a")
    first.close()
    assert not file.with_name(f"{file.name}-wal").is_file()


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_damaged_entry_is_dropped_and_never_returned(file, caplog):
    store = BlobStore(file, 1 << 20)
    for name in ("a", "b"):
        store.put(name, content(name))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("UPDATE entries SET content = ? WHERE key = 'a'", (content("forged"),))
    assert store.get("a") is None and store.get("b") == content("b")
    assert len(warnings(caplog)) == 1 and "damaged entry" in warnings(caplog)[0]
    assert other.execute("SELECT count(*) FROM entries").fetchone()[0] == 1
    other.execute("UPDATE entries SET key = 'c' WHERE key = 'b'")  # right bytes under another key
    assert store.get("c") is None


def test_a_damaged_file_costs_the_cache_and_nothing_else(file, caplog):
    store = BlobStore(file, 1 << 20)
    for number in range(50):
        store.put(f"k{number}", content(f"k{number}"))
    store.close()
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(os.urandom(size - 4096))
    store = BlobStore(file, 1 << 20)
    assert all(store.get(f"k{number}") in (None, content(f"k{number}")) for number in range(50))
    store.put("new", b"1")
    assert store.get("new") == b"1"
    assert len(warnings(caplog)) == 1 and "going on in memory" in warnings(caplog)[0]


@pytest.mark.parametrize("text", [b"a,b\n1,2\n", b"x" * 5000, b"SQLite format 3"])
def test_a_file_that_is_something_else_is_refused_and_left_alone(file, text):
    file.parent.mkdir()
    file.write_bytes(text)
    with pytest.raises(UserError, match="is no evaluation cache") as caught:
        EvaluationCache(file, 1)
    assert "\n" not in str(caught.value) and file.read_bytes() == text


def test_a_database_of_another_program_is_refused_and_left_alone(file):
    file.parent.mkdir()
    other = sqlite3.connect(file)
    other.execute("CREATE TABLE entries (key TEXT)")
    other.commit()
    other.close()
    before = file.read_bytes()
    with pytest.raises(UserError, match="is no evaluation cache"):
        BlobStore(file, 1 << 20)
    assert file.read_bytes() == before


def test_a_place_that_cannot_be_written_is_one_warning(tmp_path, sandbox, caplog):
    (tmp_path / "file").write_text("")
    one = evaluator(sandbox, tmp_path / "file" / "cache.sqlite")
    assert one.evaluate(CODE).ok and one.evaluate(CODE).ok and one.runs == 1
    assert len(warnings(caplog)) == 1 and "going on in memory" in warnings(caplog)[0]


def test_a_lock_that_is_never_released_is_one_warning(file, caplog, monkeypatch):
    monkeypatch.setattr(blob_store, "_WAIT_S", 0.1)
    store = BlobStore(file, 1 << 20)
    store.put("a", b"1")
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert store.get("a") == b"1"  # readers do not wait
    for name in ("b", "c"):
        store.put(name, b"2")
        assert store.get(name) == b"2"
    assert len(warnings(caplog)) == 1 and "locked" in warnings(caplog)[0]


def test_a_full_disk_is_one_warning(file):
    done = worker("full", file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.communicate(timeout=60)[0]
    assert done.returncode == 0, said
    assert said.count("WARNING") == 1 and "going on in memory" in said


def test_a_closed_store_is_empty_and_says_nothing(file, caplog):
    store = BlobStore(file, 1 << 20)
    store.put("a", b"1")
    store.close()
    store.close()
    store.put("b", b"2")
    assert store.get("a") is None and not warnings(caplog)


def test_a_cached_step_costs_a_fraction_of_a_run(sandbox):
    rates = {rate.method: rate for rate in benchmark(1)}
    assert rates["in-process"].to_in_process == rates["fresh interpreter"].to_fresh == 1
    for cached in ("cached in memory", "cached on disk"):
        assert (
            rates[cached].steps_per_s
            > 5 * rates["warm"].steps_per_s
            > 5 * rates["fresh interpreter"].steps_per_s
        )
    assert rates["cold"].steps_per_s < rates["warm"].steps_per_s
