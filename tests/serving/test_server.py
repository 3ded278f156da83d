"""Claims about starting, attaching and ending a server that need no vLLM: other real processes
stand in its place.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.serving import ModelServer, ServerConfig, ServerDied, config, introduction, server
from marl_llm.serving.config import Device
from marl_llm.serving.sockets import new_socket_directory, sweep_sockets


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which something listens that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run_instead_of_vllm(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(server, "installed_device", lambda: Device.cpu)
    monkeypatch.setattr(server, "command", lambda *_: [sys.executable, "-c", code])


def test_a_port_in_use_is_refused_before_anything_starts(
    model_dir: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead_of_vllm(monkeypatch, "raise SystemExit('started')")
    with pytest.raises(
        UserError, match=f"Port {silent_port} on 127.0.0.1 cannot be used .*: name another port"
    ):
        ModelServer.start(model_dir, silent_port, log_path=model_dir / "log")
    assert not (model_dir / "log").exists()


def test_a_directory_without_a_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead_of_vllm(monkeypatch, "")
    with pytest.raises(UserError, match=r"is not a model directory \(it has no config.json\)"):
        ModelServer.start(tmp_path, log_path=tmp_path / "log")


def test_a_server_that_ends_while_starting_is_reported_with_its_last_words(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead_of_vllm(monkeypatch, "raise RuntimeError('no memory left for the cache')")
    (model_dir / "log").write_text("ValueError: of an earlier server\n")
    with pytest.raises(
        ServerDied, match=r"could not start.*no memory left for the cache.*ended with status 1"
    ) as caught:
        ModelServer.start(
            model_dir, log_path=model_dir / "log", config=ServerConfig(start_timeout_s=10)
        )
    assert "earlier server" not in str(caught.value)


def test_a_server_that_does_not_answer_in_time_is_ended(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead_of_vllm(
        monkeypatch,
        f"import os, time; open({str(model_dir / 'pid')!r}, 'w').write(str(os.getpid())); "
        "time.sleep(60)",
    )
    with pytest.raises(ServerDied, match="did not answer within 1 s"):
        ModelServer.start(
            model_dir, log_path=model_dir / "log", config=ServerConfig(start_timeout_s=1)
        )
    assert not Path(f"/proc/{(model_dir / 'pid').read_text()}").exists()


def test_attaching_where_nothing_listens_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match=f"No model server answers at http://127.0.0.1:{port}"):
        ModelServer.attach(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "ftp://x"])
def test_attaching_to_what_is_no_address_says_so(url: str) -> None:
    with pytest.raises(UserError, match="is not a vLLM server"):
        ModelServer.attach(url)


def test_attaching_to_what_does_not_answer_says_so(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introduction, "ANSWER_S", 0.2)
    with pytest.raises(
        UserError,
        match=f"listens at http://127.0.0.1:{silent_port} does not answer .*: try again when",
    ):
        ModelServer.attach(f"http://127.0.0.1:{silent_port}")


def test_attaching_to_a_server_that_is_not_vllm_says_so() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match="is not a vLLM server"):
            ModelServer.attach(f"http://127.0.0.1:{other.server_port}")
        other.shutdown()


class ForeignServer(BaseHTTPRequestHandler):
    """A vLLM server's list of models, under the names in `names`."""

    names: tuple[str, ...] = ()

    def do_GET(self) -> None:
        cards = [{"id": name, "parent": None, "max_model_len": 64} for name in self.names]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": cards}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("names", "seeds"), [(("qwen",), False), (("qwen", "base-takes-seeds"), True)]
)
def test_an_attached_server_gets_seeds_if_it_says_so_and_a_warning_if_not(
    names: tuple[str, ...],
    seeds: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ForeignServer, "names", names)
    with HTTPServer(("127.0.0.1", 0), ForeignServer) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        attached = ModelServer.attach(f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
    assert (attached.base_name, attached.seeds) == ("qwen", seeds)
    assert ("--served-model-name qwen base-takes-seeds" in caplog.text) is not seeds


def test_a_server_of_ours_says_that_it_takes_seeds_unless_prompts_come_in_chunks() -> None:
    for chunked in (False, True):
        made = config.command("model", "host", 1, ServerConfig(chunked_prefill=chunked), Device.cpu)
        assert (config.SEEDED_NAME in made) is not chunked


OWNER = """
import subprocess, sys, time
guard = subprocess.Popen([
    sys.executable, sys.argv[1], str(__import__("os").getpid()), sys.argv[2], sys.executable, "-c",
    "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"],
    stdout=subprocess.PIPE, start_new_session=True)
print(guard.stdout.readline().decode().strip(), flush=True)
time.sleep(60)
"""


def test_nothing_of_a_server_outlives_an_owner_that_was_killed(tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    (sockets / "a-socket").write_text("")
    guard = Path(server.__file__).with_name("guard.py")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(guard), str(sockets)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    grandchild = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert wait_until_gone(grandchild, seconds=5)
    deadline = time.monotonic() + 20
    while sockets.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sockets_of_a_killed_guard_are_swept_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    ours = new_socket_directory()
    for name in (f"marl-llm-server-{ended.pid}-x", "marl-llm-server-x", "other"):
        (tmp_path / name).mkdir()
    sweep_sockets()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {ours.name, "marl-llm-server-x", "other"}


def wait_until_gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_without_vllm_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_version", lambda _: None)
    with pytest.raises(UserError, match=r"vLLM is not installed.*marl-llm\[vllm\]"):
        config.installed_device()


def test_a_cuda_build_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_version", {"vllm": "0.31.0"}.get)
    monkeypatch.setattr(config, "_GPU_DEVICES", ())
    with pytest.raises(UserError, match="this machine shows none"):
        config.installed_device()


def test_a_gpu_server_runs_in_bfloat16_and_may_chunk_its_prefill() -> None:
    chunked = config.command(
        "m", "h", 1, ServerConfig(chunked_prefill=True, extra_args=("--seed", "1")), Device.cuda
    )
    assert chunked[chunked.index("--dtype") + 1] == "bfloat16"
    assert "--no-enable-chunked-prefill" not in chunked and "--enforce-eager" not in chunked
    assert chunked[-2:] == ["--seed", "1"]


def test_a_cpu_server_runs_in_what_the_model_is_stored_in_if_the_machine_is_fast_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16"}')
    for speedup, chosen in ((2.0, "bfloat16"), (0.5, "float32")):
        monkeypatch.setattr("marl_llm.core.precision.bfloat16_speedup", lambda found=speedup: found)
        made = config.command(tmp_path, "h", 1, ServerConfig(), Device.cpu)
        assert made[made.index("--dtype") + 1] == chosen
    made = config.command(tmp_path, "h", 1, ServerConfig(dtype="float16"), Device.cpu)
    assert made[made.index("--dtype") + 1] == "float16"


def test_a_cpu_server_caches_prompts_in_small_blocks_unless_it_is_told_otherwise() -> None:
    made = config.command("m", "h", 1, ServerConfig(), Device.cpu)
    assert made[made.index("--block-size") + 1] == "32"
    assert "--block-size" not in config.command("m", "h", 1, ServerConfig(), Device.cuda)
    told = ServerConfig(extra_args=("--block-size", "64"))
    assert config.command("m", "h", 1, told, Device.cpu)[-2:] == ["--block-size", "64"]


def test_without_chunked_prefill_a_whole_prompt_fits_into_one_step() -> None:
    command = config.command("m", "h", 1, ServerConfig(max_model_len=9000), Device.cpu)
    assert "--no-enable-chunked-prefill" in command
    assert int(command[command.index("--max-num-batched-tokens") + 1]) >= 9000


def test_a_lora_rank_that_vllm_does_not_know_is_rounded_up() -> None:
    command = config.command("m", "h", 1, ServerConfig(max_lora_rank=12), Device.cpu)
    assert command[command.index("--max-lora-rank") + 1] == "16"
    with pytest.raises(UserError, match="ranks from 1 to 512"):
        config.command("m", "h", 1, ServerConfig(max_lora_rank=600), Device.cpu)
