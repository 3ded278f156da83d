"""What this machine can do and what is missing: one check a line, each with what to do about it.

Nothing heavy is imported: versions come from package metadata, the GPU from its driver. Only
presence of a Hub token is looked at, its value is never read. The sandbox is really started and
attacked.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.sandbox import Level, self_test
from marl_llm.sandbox.inside.lockdown.landlock import abi
from marl_llm.sandbox.inside.lockdown.syscalls import ARCHITECTURES
from marl_llm.serving.config import Device, installed_device, vllm_version
from marl_llm.serving.cpu_lora import require_plugin
from marl_llm.workspace.teams import EMBEDDED, EMBEDDED_TEAM, TRAINED, best_team

OLDEST_PYTHON = (3, 11)
PINS = {"torch": "2.13.0", "transformers": "5.17.0", "trl": "1.16", "peft": "0.21.2"}
"""Versions that pyproject.toml pins; "1.16" stands for any 1.16.x."""
VLLM_PIN = "0.31.0"
DISK_GIB, MEMORY_GIB = 1.0, 2.5
INSTALL = "run `make install`"


class State(StrEnum):
    """Of a check: `optional` things are absent and not needed for the embedded model."""

    ok = "ok"
    missing = "missing"
    broken = "broken"
    optional = "optional"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its name, how it is, what was seen, and what to do."""

    name: str
    status: State
    detail: str
    advice: str = ""


def doctor(model_dir: Path = EMBEDDED, workdir: Path = Path()) -> list[Check]:
    """Look at everything; takes about five seconds, most of them in the sandbox.

    Parameters
    ----------
    model_dir : Path
        The embedded model.
    workdir : Path
        Where runs will lie: its disk is looked at.
    """
    return [
        check_python(),
        *check_sandbox(),
        check_vllm(),
        *(check_package(name, pin) for name, pin in PINS.items()),
        check_gpu(),
        check_model(model_dir),
        check_team(),
        check_disk(workdir),
        check_memory(),
        check_cores(),
        check_port(),
        check_token(os.environ),
    ]


def healthy(checks: Sequence[Check]) -> bool:
    """True if all that the embedded model needs is there."""
    return all(check.status in (State.ok, State.optional) for check in checks)


def render(checks: Sequence[Check]) -> str:
    """The checks as text, one a line, advice below what needs it."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<8}  {check.name:<{width}}  {check.detail}".rstrip())
        if check.advice:
            lines.append(f"{'':<8}  {'':<{width}}  -> {check.advice}")
    needed = [check.name for check in checks if check.status in (State.missing, State.broken)]
    verdict = (
        f"Not ready: {', '.join(needed)}."
        if needed
        else "Ready: the embedded model can be run and trained here."
    )
    return "\n".join([*lines, "", verdict])


def check_python() -> Check:
    """The interpreter's version."""
    version = (
        f"{platform.python_version()} ({platform.machine()}, {platform.system()} "
        f"{platform.release()})"
    )
    if sys.version_info < OLDEST_PYTHON or platform.system() != "Linux":
        return Check("Python", State.broken, version, "Linux with Python 3.11 or newer is needed")
    return Check("Python", State.ok, version)


def check_sandbox() -> list[Check]:
    """The sandbox itself, then what it is built of."""
    result = self_test(Level.bubblewrap)
    if result.ok:
        return [Check("sandbox", State.ok, result.summary), *_walls(State.optional)]
    weaker = self_test(Level.landlock)
    also = f"; until then the weaker level can be asked for: {weaker.summary}" if weaker.ok else ""
    detail = "untrusted code cannot be isolated with bubblewrap"
    return [
        Check("sandbox", State.broken, detail, f"{result.summary}{also}"),
        *_walls(State.missing),
    ]


def _walls(absent: State) -> list[Check]:
    """What isolation is made of; `absent` is the status of what is not there."""
    return [
        check_bubblewrap(absent),
        check_namespaces(),
        check_landlock(absent),
        check_seccomp(absent),
    ]


def check_bubblewrap(absent: State) -> Check:
    """The bwrap program."""
    program = shutil.which("bwrap")
    if program is None:
        return Check(
            "bubblewrap",
            absent,
            "not installed",
            "install the package bubblewrap of your distribution",
        )
    version = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return Check("bubblewrap", State.ok, f"{version} ({program})")


def check_namespaces() -> Check:
    """Whether user namespaces may be made; root needs none."""
    if os.geteuid() == 0:
        return Check("user namespaces", State.ok, "not needed: running as root")
    limit = _first_line(Path("/proc/sys/user/max_user_namespaces"))
    apparmor = _first_line(Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"))
    if limit == "0" or apparmor == "1":
        closed = (
            "switched off (user.max_user_namespaces is 0)"
            if limit == "0"
            else "restricted by AppArmor"
        )
        return Check(
            "user namespaces",
            State.optional,
            closed,
            "allow them to bwrap if the sandbox does not start",
        )
    return Check("user namespaces", State.ok, f"at most {limit or '?'}")


def check_landlock(absent: State) -> Check:
    """The kernel's Landlock ABI."""
    version = abi()
    if version < 1:
        advice = "boot a kernel of 5.13 or newer with landlock among its security modules (lsm=)"
        return Check("Landlock", absent, "not available in this kernel", advice)
    return Check("Landlock", State.ok, f"ABI {version}")


def check_seccomp(absent: State) -> Check:
    """Whether there is a system call table for this machine."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return Check(
            "seccomp", absent, f"no filter for {machine}", f"use {' or '.join(ARCHITECTURES)}"
        )
    return Check("seccomp", State.ok, f"filter for {machine}")


def check_vllm() -> Check:
    """The vLLM build, its version, whether this machine has what it is built for, and our plugin
    for it on a CPU.
    """
    version = vllm_version()
    if version is None:
        return Check("vLLM", State.missing, "not installed: no model can be served", INSTALL)
    try:
        device = installed_device()
        if device is Device.cpu:
            require_plugin(os.environ)
    except UserError as error:
        return Check("vLLM", State.broken, version, str(error))
    if version.split("+")[0] != VLLM_PIN:
        return Check(
            "vLLM", State.broken, f"{version} for {device}, tested with {VLLM_PIN}", INSTALL
        )
    return Check("vLLM", State.ok, f"{version} for {device}")


def check_package(name: str, pin: str) -> Check:
    """One package of the trainer against the version it was tested with."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, State.missing, "not installed: nothing can be trained", INSTALL)
    release = version.split("+")[0]
    if release == pin or release.startswith(f"{pin}."):
        return Check(name, State.ok, version)
    return Check(name, State.broken, f"{version}, tested with {pin}", INSTALL)


def check_gpu() -> Check:
    """GPUs as the driver names them."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
        except subprocess.TimeoutExpired:
            return Check("GPU", State.optional, "nvidia-smi does not answer", "check the driver")
        if done.returncode == 0 and done.stdout.strip():
            return Check("GPU", State.ok, "; ".join(done.stdout.strip().splitlines()))
    if Path("/dev/kfd").exists() or Path("/dev/nvidiactl").exists():
        return Check(
            "GPU", State.optional, "a device file, but no driver that answers", "check the driver"
        )
    return Check("GPU", State.optional, "none visible: the embedded model needs none")


def check_model(model_dir: Path) -> Check:
    """The embedded model's files."""
    weights = model_dir / "model.safetensors"
    absent = [
        n for n in ("config.json", "tokenizer.json", weights.name) if not (model_dir / n).is_file()
    ]
    if absent:
        advice = "get data/models with the repository, or make it: `make tiny-model`"
        return Check(
            "embedded model", State.missing, f"{model_dir} lacks {', '.join(absent)}", advice
        )
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = weights.stat().st_size / 1e6
    return Check("embedded model", State.ok, f"{size:.1f} MB, sha256 {digest[:16]} ({model_dir})")


def check_team() -> Check:
    """Who plays where no team is named."""
    team = best_team()
    if team == TRAINED:
        return Check("default team", State.ok, f"{team} ({EMBEDDED_TEAM})")
    return Check(
        "default team", State.optional, f"{team}: there are no trained adapters at {EMBEDDED_TEAM}"
    )


def check_disk(workdir: Path) -> Check:
    """Free disk where runs will lie."""
    free = shutil.disk_usage(workdir).free / 2**30
    return _enough(
        "disk", free, DISK_GIB, "GiB free", "free some disk, or work in another directory"
    )


def check_memory() -> Check:
    """Memory that can be had now: the server, the trainer and the sandbox's slots share it."""
    lines = _lines(Path("/proc/meminfo"))
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    limit = _first_line(Path("/sys/fs/cgroup/memory.max"))
    used = _first_line(Path("/sys/fs/cgroup/memory.current"))
    if limit.isdigit() and used.isdigit():
        available.append(int(limit) - int(used))
    if not available:
        return Check("memory", State.optional, "this system does not say")
    return _enough(
        "memory", min(available) / 2**30, MEMORY_GIB, "GiB available", "end other programs"
    )


def check_cores() -> Check:
    """Cores this process may use."""
    return _enough("cores", len(os.sched_getaffinity(0)), 1, "usable", "")


def check_port() -> Check:
    """Whether a server can listen on this machine's own address."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
    except OSError as error:
        advice = "allow programs to listen on 127.0.0.1; the model server does"
        return Check(
            "port", State.broken, f"127.0.0.1 cannot be listened on ({error.strerror})", advice
        )
    return Check("port", State.ok, f"127.0.0.1:{port} and others are free")


def check_token(environment: Mapping[str, str]) -> Check:
    """Whether a Hugging Face token is there. It is not read."""
    home = Path(
        environment.get("HF_HOME") or Path(environment.get("HOME", "/")) / ".cache" / "huggingface"
    )
    file = Path(environment.get("HF_TOKEN_PATH") or home / "token")
    named = any(environment.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"))
    if named or file.is_file():
        return Check("Hugging Face token", State.ok, "present")
    return Check(
        "Hugging Face token",
        State.optional,
        "none: only publishing and private repositories need one",
    )


def _enough(name: str, amount: float, least: float, unit: str, advice: str) -> Check:
    detail = f"{amount:.3g} {unit}"
    if amount < least:
        return Check(name, State.broken, f"{detail}, at least {least:g} are needed", advice)
    return Check(name, State.ok, detail)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _first_line(path: Path) -> str:
    return next(iter(_lines(path)), "").strip()
