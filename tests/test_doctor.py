"""`doctor`: what is there, what is missing, and that it never shows a secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from marl_llm import doctor as module
from marl_llm.doctor import (
    Check,
    State,
    check_model,
    check_package,
    check_port,
    check_team,
    check_token,
    doctor,
    healthy,
    render,
)
from marl_llm.serving.config import Device
from marl_llm.serving.cpu_lora import SUPPORTED
from marl_llm.workspace import teams

ROOT = Path(__file__).parents[1]


def test_a_look_at_everything_names_each_thing_once():
    checks = doctor()
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    assert {"Python", "sandbox", "vLLM", "torch", "embedded model", "Hugging Face token"} <= set(
        names
    )
    assert next(check for check in checks if check.name == "sandbox").status is State.ok
    assert all(check.advice for check in checks if check.status in (State.missing, State.broken))
    assert render(checks).count("\n") >= len(checks)


def test_only_what_is_needed_decides():
    fine = [Check("a", State.ok, ""), Check("b", State.optional, "none")]
    assert healthy(fine) and render(fine).endswith(
        "Ready: the embedded model can be run and trained here."
    )
    bad = [
        *fine,
        Check("c", State.missing, "gone", "bring it"),
        Check("d", State.broken, "odd", "mend it"),
    ]
    assert not healthy(bad) and render(bad).endswith("Not ready: c, d.")
    assert "-> bring it" in render(bad)


def test_the_pins_are_those_of_the_project():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    pinned = [*extras["train"], *extras["vllm"]]
    for name, pin in {**module.PINS, "vllm": module.VLLM_PIN}.items():
        assert any(line.startswith((f"{name}=={pin}", f"{name}~={pin}")) for line in pinned), name
    assert module.VLLM_PIN in SUPPORTED


def test_vllm_on_a_cpu_without_our_plugin_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "vllm_version", lambda: module.VLLM_PIN)
    monkeypatch.setattr(module, "installed_device", lambda: Device.cpu)
    monkeypatch.setenv("VLLM_PLUGINS", "others")
    check = module.check_vllm()
    assert (
        check.status is State.broken and "VLLM_PLUGINS is 'others' and leaves out" in check.advice
    )
    monkeypatch.setattr(module, "installed_device", lambda: Device.cuda)
    assert module.check_vllm().status is State.ok


def test_a_machine_without_bubblewrap_is_not_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check.name: check for check in module.check_sandbox()}
    assert checks["sandbox"].status is State.broken
    assert "bubblewrap is not installed" in checks["sandbox"].advice
    assert checks["bubblewrap"].status is State.missing


def test_a_package_of_another_version_is_told_apart_from_a_missing_one():
    assert check_package("pytest", "0.0.1").status is State.broken
    assert check_package("no-such-package-here", "1").status is State.missing


def test_an_incomplete_model_is_missing(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    check = check_model(tmp_path)
    assert check.status is State.missing
    assert "lacks tokenizer.json, model.safetensors" in check.detail


def test_the_team_that_plays_by_default_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for where in (module, teams):
        monkeypatch.setattr(where, "EMBEDDED_TEAM", tmp_path)
    assert check_team().status is State.optional and check_team().detail.startswith("untrained")
    (tmp_path / "recipe.yaml").write_text("name: x\n")
    assert check_team().status is State.ok and check_team().detail.startswith("trained")


def test_a_local_port_can_be_used():
    assert check_port().status is State.ok


def test_a_token_is_noticed_and_never_shown(tmp_path: Path):
    (tmp_path / "token").write_text("hf_invented")
    for environment in ({"HF_TOKEN": "hf_invented"}, {"HF_HOME": str(tmp_path)}):
        check = check_token(environment)
        assert check.status is State.ok
        assert "hf_invented" not in repr(check)
    assert check_token({"HF_HOME": str(tmp_path / "empty")}).status is State.optional
