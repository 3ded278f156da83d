"""One vLLM server: started here as a process group of its own, or attached to by its URL.

In flow a model directory and a `ServerConfig`, out a URL that answers and, if the process ends, a
`ServerDied` with the last lines of its log. It does not sample; `client.py` does.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from marl_llm.core.cpu_time import tree_cpu_seconds
from marl_llm.core.errors import UserError
from marl_llm.serving.config import (
    BASE_NAME,
    SEEDED_NAME,
    Device,
    ServerConfig,
    command,
    environment,
    installed_device,
)
from marl_llm.serving.cpu_lora import require_plugin
from marl_llm.serving.errors import ServerDied, ServerStalled
from marl_llm.serving.guard import GRACE_S
from marl_llm.serving.introduction import healthy, served_bases, shown_address
from marl_llm.serving.log import last_words
from marl_llm.serving.sockets import new_socket_directory, sweep_sockets

logger = logging.getLogger(__name__)

_GUARD = Path(__file__).with_name("guard.py")
_HOST = "127.0.0.1"
_POLL_S = 0.25
_NO_SEEDS = (
    "The model server at %s does not say that it takes seeds, so none are sent and its "
    "samples will not repeat: start "
    "it with --no-enable-chunked-prefill (needed on a CPU only) and --served-model-name %s %s."
)


class ModelServer:
    """A running model server. Made by `start` or `attach`; a context manager that ends what `start`
    started.

    Attributes
    ----------
    url : str
        Address without a path, e.g. "http://127.0.0.1:8432".
    base_name : str
        Name of the model without an adapter.
    max_model_len : int
        Context, tokens.
    model : str
        Base model as the server calls it, a directory of its machine or a name on the Hub; "" where
        it does not say.
    max_num_seqs : int
        Sequences it decodes at once; of an attached server what its user says.
    seeds : bool
        Whether requests may carry a seed (on a CPU a seed and chunked prefill kill vLLM's engine).
    log_path : Path or None
        The server's log; None for an attached server.
    startup_cpu_s : float
        CPU seconds until it answered; 0 for an attached server.
    """

    def __init__(
        self,
        url: str,
        *,
        base_name: str,
        max_model_len: int,
        max_num_seqs: int,
        seeds: bool,
        model: str = "",
        log_path: Path | None = None,
        log_start: int = 0,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.url = url
        self.base_name = base_name
        self.max_model_len = max_model_len
        self.max_num_seqs = max_num_seqs
        self.seeds = seeds
        self.model = model
        self.log_path = log_path
        self._log_start = log_start
        self._process = process
        self.startup_cpu_s = 0.0

    @classmethod
    def start(
        cls,
        model_dir: Path | str,
        port: int = 0,
        *,
        log_path: Path,
        config: ServerConfig | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Self:
        """Start vLLM on 127.0.0.1 and wait until it answers.

        Parameters
        ----------
        model_dir : Path or str
            Directory of the base model, or its name on the Hugging Face Hub.
        port : int
            TCP port; 0 takes a free one.
        log_path : Path
            Receives the server's output (appended).
        config : ServerConfig, optional
            The defaults suit the embedded model on a CPU.
        env : mapping of str to str, optional
            Environment variables on top of our own and of those that vLLM needs here; taken as they
            are.

        Raises
        ------
        UserError
            If vLLM is not installed, the model directory has no config.json, the port is in use, or
            (on a CPU) vLLM would not load our plugin.
        ServerDied
            If the server ends before it answers or does not answer in time.
        """
        config = config or ServerConfig()
        device = installed_device()
        if device is Device.cpu:
            require_plugin(os.environ)
        local = _is_local(model_dir)
        port = _free_port(_HOST, port)
        sweep_sockets()
        log_start = log_path.stat().st_size if log_path.exists() else 0
        process = _launch(
            command(model_dir, _HOST, port, config, device),
            {**os.environ, **environment(config, device, offline=local), **(env or {})},
            log_path,
        )
        server = cls(
            f"http://{_HOST}:{port}",
            base_name=BASE_NAME,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            seeds=not config.chunked_prefill,
            model=str(model_dir),
            log_path=log_path,
            log_start=log_start,
            process=process,
        )
        try:
            server._wait_until_ready(config.start_timeout_s)
        except BaseException:  # Ctrl-C included: no path out of here may leave a server behind
            server.stop()
            raise
        server.startup_cpu_s = server.cpu_seconds()
        return server

    @classmethod
    def attach(cls, url: str, *, max_num_seqs: int = ServerConfig.max_num_seqs) -> Self:
        """Use a server that somebody else runs; `stop` leaves it alone.

        It gets seeds if it says that it takes them, by the name `SEEDED_NAME` beside the model's
        own: a server of ours does. Without it samples do not repeat, and a warning says so.

        Parameters
        ----------
        url : str
            Address, with or without a trailing "/v1".
        max_num_seqs : int
            Sequences it decodes at once, which its API does not tell.

        Raises
        ------
        UserError
            If nothing answers there, not within a minute, or what answers is no vLLM server.
        """
        url = url.rstrip("/").removesuffix("/v1")
        bases = served_bases(url)
        base, seeds = bases[0], any(one.name == SEEDED_NAME for one in bases)
        if not seeds:
            logger.warning(_NO_SEEDS, shown_address(url), base.name, SEEDED_NAME)
        return cls(
            url,
            base_name=base.name,
            max_model_len=base.max_model_len,
            max_num_seqs=max_num_seqs,
            seeds=seeds,
            model=base.root,
        )

    @property
    def address(self) -> str:
        """The URL as it may be shown: without name, password and query."""
        return shown_address(self.url)

    @property
    def owned(self) -> bool:
        """Whether `start` made this server."""
        return self._process is not None

    def alive(self) -> bool:
        """Tell whether the server's process runs; always True for an attached server."""
        return self._process is None or self._process.poll() is None

    def cpu_seconds(self) -> float:
        """CPU seconds that the server's processes have used; 0 for an attached server, whose
        processes are unknown.
        """
        return 0.0 if self._process is None else tree_cpu_seconds(self._process.pid)

    def check(self) -> None:
        """Do nothing while the server's process runs.

        Raises
        ------
        ServerDied
            If it has ended, with the last lines of its log.
        """
        if not self.alive():
            raise self.died("has ended")

    def died(self, what: str) -> ServerDied:
        """Return the error that says `what` about this server, with its last words if we have its
        log.
        """
        if self.log_path is None:
            return ServerDied(
                f"The model server at {self.address} {what}: start it again and repeat the "
                "command; what was finished is kept."
            )
        return ServerDied(f"The model server at {self.address} {what}.{self._last_words()}")

    def stalled(self, silent_s: float, waiting: int, least_s: float) -> ServerStalled:
        """Return the error that says how long the server has done nothing, with `waiting` requests
        to answer.
        """
        return ServerStalled(
            f"The model server at {self.address} is up, but for {silent_s:.0f} s it has sampled "
            f"nothing and answered none of {waiting} requests: start it again and repeat the "
            "command (what was finished is kept), or raise serving.request_timeout_s "
            f"({least_s:g}) in the recipe if it only needs longer.{self._last_words()}"
        )

    def _last_words(self) -> str:
        if self.log_path is None:
            return ""
        return (
            f" Its last words: {last_words(self.log_path, since=self._log_start)} (whole log: "
            f"{self.log_path})"
        )

    def stop(self) -> None:
        """End the server's process group: SIGTERM, then SIGKILL. Does nothing when it has ended or
        was attached to.
        """
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_S + 5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        logger.info("model server at %s stopped", self.address)

    def _wait_until_ready(self, timeout_s: float) -> None:
        started = time.monotonic()
        with httpx.Client(timeout=5.0, trust_env=False) as http:
            while not healthy(http, self.url):
                if not self.alive():
                    raise self.died("could not start")
                if time.monotonic() - started > timeout_s:
                    raise self.died(
                        f"did not answer within {timeout_s:.0f} s (serving.start_timeout_s)"
                    )
                time.sleep(_POLL_S)
        served_bases(self.url)
        took_s = time.monotonic() - started
        logger.info("model server at %s ready after %.1f s", self.address, took_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _is_local(model_dir: Path | str) -> bool:
    """Tell a model directory, which must hold a model, from a name on the Hub ("user/name", a str
    that is no path).
    """
    path = Path(model_dir)
    if (
        isinstance(model_dir, str)
        and not path.exists()
        and not path.is_absolute()
        and model_dir.count("/") == 1
    ):
        return False
    if not (path / "config.json").is_file():
        raise UserError(
            f"{path} is not a model directory (it has no config.json): name a directory with "
            "a saved model."
        )
    return True


def _launch(
    server_command: list[str], env: Mapping[str, str], log_path: Path
) -> subprocess.Popen[bytes]:
    """Start the guard with the server under it, in a session of their own, so that Ctrl-C reaches
    only us.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    sockets = new_socket_directory()
    guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(sockets)]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [*guard, *server_command],
            env={**env, "VLLM_RPC_BASE_PATH": str(sockets)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _free_port(host: str, port: int) -> int:
    """Return `port` if it can be listened on, or a free one for 0."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"Port {port} on {host} cannot be used ({error.strerror}): name another "
                "port, 0 takes a free one."
            ) from error
        return probe.getsockname()[1]
