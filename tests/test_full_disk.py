"""Every stage on a disk that is full, or read-only: one sentence that says so, exit code 1 or 2.

The disk is a real one, of half a megabyte in memory; only root may mount it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from marl_llm.cli import main
from marl_llm.core.roles import ROLES
from marl_llm.trajectories import write_manifest
from marl_llm.workspace.recipe import Recipe
from marl_llm.workspace.run import RunDirectory
from tests.lent_sandbox import lent_sandboxes

OLD = Path(__file__).parent / "trajectories" / "version_1" / "reference" / "iteration_0000"
IRIS = Path("data/bundled/iris.csv")
WARM = """
name: warm
environment: {steps: 1, cv_folds: 2, resamples: 100}
prompts: {style: chat, engineer_answer: program}
warm_start: {episodes: 1, proposals: 2, epochs: 1}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=755", "tmpfs", str(place)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, check=False).returncode
    ):
        pytest.skip("only root can mount a disk of its own")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, free: int) -> None:
    """Leave so many bytes."""
    with (disk / "filling").open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
        file.truncate(max(0, (file.tell() // 4096) * 4096 - free))


def collected(root: Path) -> RunDirectory:
    """A run whose first iteration is collected, on whatever disk."""
    run = RunDirectory(root)
    run.prepare(Recipe(name="old"))
    shutil.copytree(OLD / "trajectories", run.trajectories(0))
    write_manifest(run.trajectories(0))
    return run


def commands(disk: Path, beside: Path) -> dict[str, list[object]]:
    """What writes to the disk, by stage."""
    (beside / "warm.yaml").write_text(WARM)
    about = [IRIS, "--target", "species"]
    return {
        "solve": ["solve", *about, "--team", "scripted", "--steps", 1, "--out", disk / "out"],
        "inspect": ["inspect", *about, "--table", disk / "read.csv"],
        "evaluate": ["evaluate", "--tasks", 2, "--arms", "baseline", "--out", disk / "out"],
        "warm start": ["rollout", "--recipe", beside / "warm.yaml", "--run", disk / "run"],
    }


def sentence(capsys: pytest.CaptureFixture[str], arguments: list[object]) -> str:
    with lent_sandboxes():
        code = main(["--quiet", *map(str, arguments)])
    said = capsys.readouterr().err.strip().splitlines()
    assert code in (1, 2) and said, (code, said)
    assert said[-1].startswith("marl-llm: ") and "Traceback" not in "".join(said)
    return said[-1]


@pytest.mark.parametrize(
    ("stage", "free"),
    [
        ("solve", 0),
        ("solve", 8_192),
        ("inspect", 0),
        ("evaluate", 0),
        ("evaluate", 8_192),
        ("warm start", 0),
        ("warm start", 16_384),
        ("warm start", 131_072),
    ],
)
def test_a_full_disk_is_one_sentence(
    stage: str, free: int, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    fill(disk, free)
    assert "No space left on device" in sentence(capsys, commands(disk, tmp_path)[stage])


@pytest.mark.parametrize("stage", ["solve", "inspect", "evaluate", "warm start"])
def test_a_read_only_disk_is_one_sentence(
    stage: str, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "Read-only file system" in sentence(capsys, commands(disk, tmp_path)[stage])


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_training_and_publishing_of_a_run_on_such_a_disk(
    how: str, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    run = collected(disk / "run")
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    if how == "full":
        fill(disk, 0)
        why = "No space left on device"
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        why = "Read-only file system"
    assert why in sentence(capsys, ["train", "--run", run.root])
    if how == "full":
        (disk / "filling").unlink()
    assert {path: path.read_bytes() for path in before} == before
    assert all(run.version(role) == 0 for role in ROLES)
