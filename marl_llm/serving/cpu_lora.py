"""Our plugin for vLLM's CPU build, whose own LoRA code is slow and, in mixed batches, wrong.

There a request to the base beside requests to adapters is answered with an adapter's weights. vLLM
calls `install` in each of its processes, for whoever serves in this environment (entry point
`vllm.general_plugins` in pyproject.toml); it puts `grouped_lora.py` in the place of vLLM's class.
On another device it does nothing. Where vLLM is not as we know it, and its code is not seen to be
right by now, LoRA is refused; all else is served. Nothing here loads torch or vllm before `install`
is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from types import SimpleNamespace
from typing import Protocol

from marl_llm.core.errors import UserError

NAME = "marl_llm_cpu_lora"
"""Of the entry point, as VLLM_PLUGINS lists it."""
GROUP = "vllm.general_plugins"
SUPPORTED = ("0.31.0",)
"""Versions of vLLM that the tests have run with."""
THEIRS = "vllm.lora.punica_wrapper.punica_cpu.PunicaWrapperCPU"
OURS = "marl_llm.serving.grouped_lora.GroupedPunicaWrapper"

_CHOICE = "get_punica_wrapper"
"""The method of a platform that names the class which serves LoRA."""


class Platform(Protocol):
    """What is used of a platform of vLLM."""

    def get_punica_wrapper(self) -> str:
        """Import path of the class that serves LoRA."""
        ...


def install() -> None:
    """Mend LoRA in this process, refuse it, or leave it alone; may be called again.

    Raises
    ------
    RuntimeError
        LoRA is to be refused and vLLM is so different that not even that can be done.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    moved = what_moved(current_platform)
    if moved is None:
        setattr(type(current_platform), _CHOICE, classmethod(lambda cls: OURS))
    elif not keeps_base_apart(current_platform):
        refuse(moved)


def what_moved(platform: Platform) -> str | None:
    """What of vLLM, on its CPU `platform`, is not as in the versions that we know; None if all
    is.
    """
    import vllm

    version = vllm.__version__.split("+")[0]
    if version not in SUPPORTED:
        return f"vLLM is {version}"
    try:
        from marl_llm.serving.grouped_lora import misfit

        served = platform.get_punica_wrapper()
    except (ImportError, AttributeError) as error:
        return str(error)
    return misfit() if served in (THEIRS, OURS) else f"LoRA is served by {served}"


def keeps_base_apart(platform: Platform) -> bool:
    """Try vLLM's own code on two rows: the first belongs to the base, the second to the adapter in
    the last slot.
    """
    try:
        import torch
        from vllm.utils.import_utils import resolve_obj_by_qualname

        wrapper = resolve_obj_by_qualname(platform.get_punica_wrapper())(2, 2, "cpu")
        rows = SimpleNamespace(index_mapping=(0, 7), prompt_mapping=(0, 7), is_prefill=True)
        wrapper.update_metadata(rows, [7], 2, 8)
        y, weights = torch.zeros(2, 1), (torch.ones(1, 1, 1, 1),)
        wrapper.add_lora_linear(y, torch.ones(2, 1), weights, weights, 1.0, (1,))
    except (
        ImportError,
        AttributeError,
        TypeError,
        RuntimeError,
    ):  # it has moved: nothing can be said for it
        return False
    return y[:, 0].tolist() == [0.0, 1.0]


def refuse(moved: str) -> None:
    """Let this process end with one sentence as soon as it is asked for LoRA."""
    sentence = (
        "On a CPU this vLLM is not known to keep LoRA adapters and base apart, and marl_llm's "
        f"repair fits {SUPPORTED[-1]} only: run `make install`, serve without LoRA, or set "
        f"VLLM_PLUGINS to a list without {NAME}. What does not fit: {moved}."
    )

    def no_lora(self: object, *args: object, **kwargs: object) -> None:
        raise RuntimeError(sentence)

    try:
        from vllm.config import LoRAConfig
    except ImportError as error:
        raise RuntimeError(sentence) from error
    LoRAConfig.__init__ = no_lora


def require_plugin(environment: Mapping[str, str]) -> None:
    """Make sure that a vLLM started here with this environment will call `install`. To be asked on
    a CPU only.

    Raises
    ------
    UserError
        The installed package does not announce the plugin, or VLLM_PLUGINS leaves it out.
    """
    value = f"{__name__}:{install.__name__}"
    if not any(point.value == value for point in metadata.entry_points(group=GROUP, name=NAME)):
        raise UserError(
            "marl_llm was installed by an older version, without its vLLM plugin, and vLLM's CPU "
            "build mixes up adapters and base by itself: install it again, `make install` or `pip "
            "install --no-deps -e .`."
        )
    allowed = environment.get("VLLM_PLUGINS")
    if allowed is not None and NAME not in allowed.split(","):
        raise UserError(
            f"VLLM_PLUGINS is '{allowed}' and leaves out {NAME}, without which vLLM's CPU build "
            f"mixes up adapters and base: add {NAME} to it, or unset it."
        )
