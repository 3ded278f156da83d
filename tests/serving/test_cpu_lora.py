"""Our plugin for vLLM's CPU build: the numbers of its LoRA code, when it is put in place, when LoRA
is refused.

What a server answers with it stands in `test_sampling.py`. The numbers are held against float64,
row by row.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from marl_llm.core.errors import UserError
from marl_llm.serving import ModelServer, ServerConfig, ServerDied, cpu_lora, server
from marl_llm.serving.config import Device, installed_device, vllm_version

SLOTS, RANK, IN, OUT = 3, 4, 12, 10
BATCHES = {
    "mixed": [0, 2, 0, 1, 2, 0],
    "neighbours": [1, 1, 0, 0, 3, 3],
    "one adapter": [2] * 6,
    "base alone": [0] * 6,
}
"""The adapter of each row, 0 for none; adapter k lies in slot k - 1."""


@pytest.fixture
def cpu_vllm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What `install` changes in vLLM is put back afterwards."""
    if vllm_version() is None or installed_device() is not Device.cpu:
        pytest.skip("vLLM's CPU build is not installed (`make install`)")
    from vllm.config import LoRAConfig
    from vllm.platforms.cpu import CpuPlatform

    monkeypatch.setattr(
        CpuPlatform, "get_punica_wrapper", CpuPlatform.__dict__["get_punica_wrapper"]
    )
    monkeypatch.setattr(LoRAConfig, "__init__", LoRAConfig.__init__)
    return monkeypatch


def served() -> str:
    from vllm.platforms import current_platform

    return current_platform.get_punica_wrapper()


def wrapper_for(adapters: list[int]) -> Any:
    """Our code in a step whose tokens have these adapters; the requests that are sampled have them
    in reverse.
    """
    from marl_llm.serving.grouped_lora import GroupedPunicaWrapper

    wrapper = GroupedPunicaWrapper(len(adapters), len(adapters), torch.device("cpu"))
    rows = SimpleNamespace(index_mapping=adapters, prompt_mapping=adapters[::-1], is_prefill=True)
    wrapper.update_metadata(rows, [1, 2, 3], SLOTS + 1, OUT)
    return wrapper


def numbers(dtype: torch.dtype) -> SimpleNamespace:
    """Random x (rows, IN), low (rows, RANK), y (rows, OUT), A and B of all slots, a whole layer
    with bias.
    """
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw).to(dtype)

    return SimpleNamespace(
        x=normal(6, IN),
        low=normal(6, RANK),
        y=normal(6, OUT),
        a=normal(SLOTS, 1, RANK, IN),
        b=normal(SLOTS, 1, OUT, RANK),
        whole=normal(SLOTS, 1, OUT, IN),
        bias=normal(SLOTS, OUT),
    )


def row_by_row(
    adapters: list[int], y: torch.Tensor, x: torch.Tensor, *factors: torch.Tensor
) -> torch.Tensor:
    """y + x @ factors of each row's adapter, in float64; y alone for the base."""
    expected = y.double().clone()
    for row, adapter in enumerate(adapters):
        if adapter:
            part = x[row].double()
            for factor in factors:
                part = factor[adapter - 1, 0].double() @ part
            expected[row] += part
    return expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("adapters", BATCHES.values(), ids=BATCHES)
def test_every_layer_adds_each_row_s_own_adapter_and_leaves_the_base_as_it_is(
    cpu_vllm: object, adapters: list[int], dtype: torch.dtype
) -> None:
    wrapper, n = wrapper_for(adapters), numbers(dtype)
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.1}
    )

    def check(got: torch.Tensor, rows: list[int], *product: torch.Tensor) -> None:
        torch.testing.assert_close(got.double(), row_by_row(rows, n.y, *product), **tolerance)
        base = [row for row, adapter in enumerate(rows) if not adapter]
        assert torch.equal(got[base], n.y[base])

    linear, embedding, logits = n.y.clone(), n.y.clone(), n.y.clone()
    halves = (6, OUT - 6)
    wrapper.add_lora_linear(linear, n.x, (n.a, n.a), tuple(n.b.split(halves, dim=2)), 2.0, halves)
    check(linear, adapters, 2.0 * n.x, n.a, n.b)
    wrapper.add_lora_embedding(embedding, n.low, n.b)
    check(embedding, adapters, n.low, n.b)
    wrapper.add_lora_logits(logits, n.x, n.a, n.b, 0.5)
    check(logits, adapters[::-1], 0.5 * n.x, n.a, n.b)


@pytest.mark.parametrize("adapters", BATCHES.values(), ids=BATCHES)
def test_the_two_halves_of_a_sharded_layer_make_the_whole(
    cpu_vllm: object, adapters: list[int]
) -> None:
    wrapper, n, halves = wrapper_for(adapters), numbers(torch.float32), (6, OUT - 6)
    low, y = torch.zeros(2, 6, RANK), n.y.clone()
    wrapper.add_shrink(low, n.x, (n.a, n.a), 2.0)
    wrapper.add_expand(y, low, tuple(n.b.split(halves, dim=2)), halves)
    torch.testing.assert_close(
        y.double(), row_by_row(adapters, n.y, 2.0 * n.x, n.a, n.b), rtol=1e-5, atol=1e-5
    )


def test_a_whole_layer_of_an_adapter_replaces_the_base_s_only_in_its_own_rows(
    cpu_vllm: object,
) -> None:
    adapters, n = BATCHES["mixed"], numbers(torch.float32)
    y, enabled = n.y.clone(), torch.tensor([False, True, True])
    wrapper_for(adapters).apply_lora_full_linear(y, n.x, n.whole, n.bias, enabled)
    for row, adapter in enumerate(adapters[::-1]):
        own = n.whole[adapter - 1, 0] @ n.x[row] + n.bias[adapter - 1] if adapter == 2 else n.y[row]
        torch.testing.assert_close(y[row], own)


def test_vllm_s_own_code_gives_the_base_an_adapter_s_weights_and_ours_does_not(
    cpu_vllm: object,
) -> None:
    """Once the first half fails, vLLM has mended it: the plugin is then needed for speed alone."""
    for qualified_name, right in {cpu_lora.THEIRS: False, cpu_lora.OURS: True}.items():
        platform = SimpleNamespace(get_punica_wrapper=lambda name=qualified_name: name)
        assert cpu_lora.keeps_base_apart(platform) is right


def test_our_code_takes_the_place_of_vllm_s_however_often_the_plugin_is_loaded(
    cpu_vllm: object,
) -> None:
    for _ in range(2):
        cpu_lora.install()
        assert served() == cpu_lora.OURS


def test_on_another_device_nothing_is_changed(cpu_vllm: pytest.MonkeyPatch) -> None:
    from vllm.platforms.cpu import CpuPlatform

    cpu_vllm.setattr(CpuPlatform, "is_cpu", lambda self: False)
    cpu_lora.install()
    assert served() == cpu_lora.THEIRS


def test_an_unknown_version_serves_no_lora_and_says_what_to_do(
    cpu_vllm: pytest.MonkeyPatch,
) -> None:
    import vllm
    from vllm.config import LoRAConfig

    cpu_vllm.setattr(vllm, "__version__", "9.1.0+cpu")
    cpu_lora.install()
    with pytest.raises(
        RuntimeError,
        match=r"fits 0\.31\.0 only: run `make install`.*does not fit: vLLM is 9\.1\.0\.",
    ):
        LoRAConfig(max_loras=2)


def test_an_unknown_version_that_is_seen_to_be_right_is_left_alone(
    cpu_vllm: pytest.MonkeyPatch,
) -> None:
    import vllm
    from vllm.config import LoRAConfig
    from vllm.lora.punica_wrapper import punica_cpu

    from marl_llm.serving.grouped_lora import GroupedPunicaWrapper

    cpu_vllm.setattr(vllm, "__version__", "9.1.0+cpu")
    cpu_vllm.setattr(punica_cpu, "PunicaWrapperCPU", GroupedPunicaWrapper)
    cpu_lora.install()
    assert served() == cpu_lora.THEIRS and LoRAConfig(max_loras=2).max_loras == 2


def test_a_method_with_other_arguments_is_refused_by_name(cpu_vllm: pytest.MonkeyPatch) -> None:
    from vllm.config import LoRAConfig
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    def add_lora_linear(self: Any, y: Any, x: Any, weights: Any) -> None:
        raise NotImplementedError

    cpu_vllm.setattr(PunicaWrapperCPU, "add_lora_linear", add_lora_linear)
    cpu_lora.install()
    with pytest.raises(
        RuntimeError, match=r"PunicaWrapperCPU\.add_lora_linear takes other arguments\.$"
    ):
        LoRAConfig()


def test_a_property_that_is_gone_is_named(cpu_vllm: object) -> None:
    from marl_llm.serving.grouped_lora import GroupedPunicaWrapper, misfit

    methods = {
        name: ours for name, ours in vars(GroupedPunicaWrapper).items() if inspect.isfunction(ours)
    }
    assert misfit(type("Wrapper", (), methods)) == "Wrapper has no token_lora_indices"


def test_a_hook_that_is_gone_is_refused_by_name(cpu_vllm: pytest.MonkeyPatch) -> None:
    from vllm.config import LoRAConfig
    from vllm.platforms.cpu import CpuPlatform

    cpu_vllm.setattr(
        CpuPlatform, "get_punica_wrapper", classmethod(lambda cls: "vllm.lora.elsewhere.Wrapper")
    )
    cpu_lora.install()
    with pytest.raises(RuntimeError, match=r"LoRA is served by vllm\.lora\.elsewhere\.Wrapper"):
        LoRAConfig()
    assert "get_punica_wrapper" in str(cpu_lora.what_moved(object()))


UNSUPPORTED = """
import runpy, marl_llm.serving.cpu_lora
marl_llm.serving.cpu_lora.SUPPORTED = ("0.0.1",)
runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
"""


@pytest.mark.vllm
def test_whoever_starts_a_server_reads_why_lora_is_refused(
    cpu_vllm: pytest.MonkeyPatch, tiny_base: Path, tmp_path: Path
) -> None:
    command = server.command

    def unsupported(*args: Any) -> list[str]:
        python, _, _, *rest = command(*args)
        return [python, "-c", UNSUPPORTED, *rest]

    cpu_vllm.setattr(server, "command", unsupported)
    with pytest.raises(
        ServerDied,
        match=r"could not start.*repair fits 0\.0\.1 only: run `make install`.*vLLM is 0\.",
    ):
        ModelServer.start(
            tiny_base, log_path=tmp_path / "log", config=ServerConfig(start_timeout_s=180)
        )


def test_a_server_does_not_start_where_the_installed_package_lacks_the_plugin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "installed_device", lambda: Device.cpu)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints())
    with pytest.raises(
        UserError,
        match=r"installed by an older version.*`make install` or `pip install --no-deps -e",
    ):
        ModelServer.start(tmp_path, log_path=tmp_path / "log")
    monkeypatch.setattr(server, "installed_device", lambda: Device.cuda)
    with pytest.raises(UserError, match="not a model directory"):  # it came that far
        ModelServer.start(tmp_path, log_path=tmp_path / "log")


@pytest.mark.parametrize("allowed", ["", "lora_filesystem_resolver,other"])
def test_a_server_does_not_start_where_vllm_plugins_leaves_ours_out(
    allowed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "installed_device", lambda: Device.cpu)
    monkeypatch.setenv("VLLM_PLUGINS", allowed)
    with pytest.raises(
        UserError, match=f"VLLM_PLUGINS is '{allowed}' and leaves out {cpu_lora.NAME}.*add"
    ):
        ModelServer.start(tmp_path, log_path=tmp_path / "log")
    cpu_lora.require_plugin({"VLLM_PLUGINS": f"{cpu_lora.NAME},{allowed}"})


def test_the_project_announces_the_plugin_under_the_name_that_a_server_looks_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][cpu_lora.GROUP] == {
        cpu_lora.NAME: "marl_llm.serving.cpu_lora:install"
    }


def test_loading_the_plugin_costs_neither_torch_nor_vllm() -> None:
    code = (
        "import sys, marl_llm.serving.cpu_lora; sys.exit(len({'torch', 'vllm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
