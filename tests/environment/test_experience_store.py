from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.core.errors import UserError
from marl_llm.environment.experience import ExperienceStore, snapshot
from tests.environment.known import BAYES, DEEP, FOREST, data_set

WORKER = Path(__file__).with_name("experience_worker.py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "experience.jsonl"


def worker(*arguments: object, **options) -> subprocess.Popen:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, WORKER, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, **options)


def keys(file: Path) -> set[str]:
    return {data_set.key for data_set in ExperienceStore(file).read().data_sets}


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_was_added_is_read_back_by_others(file):
    store, other = ExperienceStore(file), ExperienceStore(file)
    store.add(data_set("a", (FOREST, 0.1)))
    assert other.read().data_sets == (data_set("a", (FOREST, 0.1)),)
    other.add(data_set("b", (BAYES, 0.2)))
    assert [d.key for d in store.read().data_sets] == ["a", "b"]


def test_the_same_data_set_is_one_whoever_adds_to_it_and_known_findings_are_not_written_again(file):
    for findings in ([(FOREST, 0.1)], [(BAYES, 0.2), (FOREST, 0.3)], [(FOREST, 0.1)]):
        ExperienceStore(file).add(data_set("a", *findings))
    (known,) = ExperienceStore(file).read().data_sets
    assert [(f.text, f.gain) for f in known.findings] == [(BAYES, 0.2), (FOREST, 0.1)]
    assert len(file.read_text().splitlines()) == 3


def test_a_data_set_on_which_nothing_was_found_is_not_written(file):
    ExperienceStore(file).add(data_set("a"))
    assert not file.exists()


def test_processes_that_make_and_fill_a_store_at_once_lose_nothing(file):
    writers = [worker("write", file, name, 60, stderr=subprocess.PIPE) for name in "pqr"]
    said = [one.communicate(timeout=120)[1] for one in writers]
    assert [one.returncode for one in writers] == [0] * 3 and said == [""] * 3
    assert keys(file) == {f"{name}-{number}" for name in "pqr" for number in range(60)} | {"shared"}
    lines = file.read_text().splitlines()
    assert len({json.dumps(json.loads(line)) for line in lines}) == len(lines)
    shared = next(d for d in ExperienceStore(file).read().data_sets if d.key == "shared")
    assert [f.gain for f in shared.findings] == [6.1, 5.1, 4.1, 3.1, 2.1]


def test_a_writer_waits_for_the_one_at_work(file):
    store = ExperienceStore(file)
    store.add(data_set("a", (FOREST, 0.1)))
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=store.add, args=(data_set("b", (FOREST, 0.1)),))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and keys(file) == {"a"}
    waiting.join(10)
    assert keys(file) == {"a", "b"}


def test_a_writer_that_is_killed_loses_nothing_that_was_added(file):
    for wait in (0.0, 0.005, 0.02):
        victim = worker("endless", file, stdout=subprocess.PIPE)
        assert victim.stdout.readline() == "1\n"
        time.sleep(wait)
        victim.send_signal(signal.SIGKILL)
        said = victim.communicate(timeout=60)[0].split()
        assert {f"k{number}" for number in range(len(said))} <= keys(file)
    ExperienceStore(file).add(data_set("after", (BAYES, 0.1)))
    assert "after" in keys(file)


@given(st.integers(0, 2000), st.booleans())
def test_a_file_that_was_cut_anywhere_keeps_its_whole_lines_and_takes_new_ones(
    tmp_path_factory, cut, more
):
    file = tmp_path_factory.mktemp("cut") / "experience.jsonl"
    for key in "abc":
        ExperienceStore(file).add(data_set(key, (FOREST, 0.1)))
    whole = file.read_bytes()
    file.write_bytes(whole[:cut])
    kept = set(
        "abc"[: max(0, whole[: cut + 1].count(b"\n") - 1)]
    )  # a line that lacks only its end is whole
    assert keys(file) == kept
    if more:
        ExperienceStore(file).add(data_set("new", (BAYES, 0.1)))
        assert keys(file) == {*kept, "new"}


def test_a_full_disk_is_one_warning_and_costs_one_data_set(file):
    said = worker("full", file, stdout=subprocess.PIPE).communicate(timeout=60)[0].splitlines()
    assert len(said) == 2, said
    assert (
        said[0].startswith(f"WARNING {file}: the experience cannot be kept (")
        and "damaged lines" in said[1]
        and "(1)" in said[1]
    )
    assert keys(file) == {"before", "after"}


def test_damaged_lines_are_one_warning_and_the_others_count(file, caplog):
    for key in "abcd":
        ExperienceStore(file).add(data_set(key, (DEEP, 0.1)))
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = b"\xff\x00 garbage\n"
    lines[3] = lines[3].replace(b'"gain":0.1', b'"gain":"much"')
    file.write_bytes(b"".join(lines))
    assert keys(file) == {"a", "d"}
    (said,) = warnings(caplog)
    assert (
        said.startswith(f"{file}: ")
        and "damaged lines" in said
        and "(2)" in said
        and "Delete the file" in said
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,b\n1,2\n", "is no experience store, or its first line is damaged"),
        (b"7\n", "is no experience store"),
        (b"hello", "is no experience store"),
        (
            b'{"store": "marl_llm experience", "version": 99}\n',
            "is an experience store of version 99, this is 1",
        ),
    ],
)
def test_another_file_or_version_is_one_sentence_with_a_remedy_and_left_alone(file, content, says):
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        ExperienceStore(file)
    message = str(caught.value)
    assert message.startswith(str(file)) and says in message and "\n" not in message
    assert "name another file (environment.experience, --experience), or delete this one" in message
    assert file.read_bytes() == content


def test_a_directory_is_no_store(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        ExperienceStore(tmp_path)


def test_a_place_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    ExperienceStore(tmp_path / "file" / "experience.jsonl").add(data_set("a", (FOREST, 0.1)))
    assert len(warnings(caplog)) == 1 and "cannot be kept" in warnings(caplog)[0]


def test_a_snapshot_stays_as_it_was_when_it_was_made(file, tmp_path):
    copy = tmp_path / "iteration" / "experience.jsonl"
    assert snapshot(file, copy).data_sets == ()
    ExperienceStore(file).add(data_set("a", (FOREST, 0.1)))
    assert snapshot(file, copy).data_sets == ()
    later = tmp_path / "later.jsonl"
    assert [d.key for d in snapshot(file, later).data_sets] == ["a"]
    file.unlink()
    assert [d.key for d in snapshot(file, later).data_sets] == ["a"]
