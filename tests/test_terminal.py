"""What reaches a terminal: nothing that a file's author could steer it with, and a sentence where
it cannot be written.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from marl_llm.cli import main, terminal

CSV = "a\x1b[2J\u202e,b\x07\r\u061c\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    (tmp_path / "hostile.csv").write_text(CSV, newline="")
    return tmp_path / "hostile.csv"


def test_controls_and_marks_of_direction_are_escaped_and_letters_are_not():
    assert terminal.printable("a\x1b[2J\u202eb\x9b\r") == "a\\x1b[2J\\u202eb\\x9b\\r"
    assert terminal.printable("caf\u00e9\t\u0645\u0631\u062d\u0628\u0627\n") == (
        "caf\u00e9\t\u0645\u0631\u062d\u0628\u0627\n"
    )


@pytest.mark.parametrize("target", ["b", "nowhere\x1b[2J\u202e"])
def test_a_header_steers_no_terminal(
    hostile: Path, target: str, capsys: pytest.CaptureFixture[str]
):
    main(["inspect", str(hostile), "--target", target])
    said = capsys.readouterr()
    assert said.out + said.err and not terminal._UNSAFE.search(said.out + said.err)


def test_a_full_output_is_one_sentence(hostile: Path, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["inspect", str(hostile), "--target", "a\x1b[2J\u202e"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("marl-llm: standard output cannot be written (No space left")
    assert said.count("\n") == 1


def test_a_closed_output_is_refused_before_anything_is_opened_in_its_place(
    hostile: Path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["inspect", str(hostile), "--target", "b"]) == 2
    assert "standard output is closed" in capsys.readouterr().err


def test_a_terminal_without_utf_8_gets_escapes(monkeypatch):
    raw = io.BytesIO()
    ascii_only = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    terminal.prepare(0)
    terminal.say("caf\u00e9 \ud800")
    assert raw.getvalue() == b"caf\\xe9 \\ud800\n"


@pytest.mark.parametrize("shell", ["{} >/dev/full", "{} >&-"])
def test_nothing_but_the_sentence_is_left_when_the_process_ends(shell: str):
    code = "import sys; from marl_llm.cli import main; sys.exit(main())"
    command = shell.format(f"{sys.executable} -c '{code}' score nowhere.py no.csv --target y")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
