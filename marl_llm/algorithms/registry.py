"""Which algorithm a section of a recipe means: by the name of one of ours, or by the import path of
anybody's. The one list of our algorithms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, SerializeAsAny
from pydantic.fields import FieldInfo

from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.dpo import DPO
from marl_llm.algorithms.grpo import GRPO
from marl_llm.algorithms.ppo import PPO
from marl_llm.algorithms.rloo import RLOO
from marl_llm.algorithms.sft import SFT
from marl_llm.core.import_path import import_object
from marl_llm.core.narrow import is_dict, is_tuple

V = TypeVar("V")
BUILT_IN: dict[str, type[Algorithm]] = {
    "grpo": GRPO,
    "rloo": RLOO,
    "ppo": PPO,
    "sft": SFT,
    "dpo": DPO,
}
DEFAULT = "grpo"


def algorithm_class(name: str) -> type[Algorithm]:
    """The class that a name or an import path, module:Class, stands for.

    Raises
    ------
    ValueError
        There is no such algorithm; the sentence says why and what there is.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        names = ", ".join(BUILT_IN)
        raise ValueError(
            f"there is no algorithm '{name}'; there are {names}, and your own as module:Class"
        )
    try:
        found = import_object(name)
    except ValueError as error:
        raise ValueError(f"algorithm '{name}' {error}") from None
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise ValueError(f"algorithm '{name}' is no subclass of marl_llm.algorithms.Algorithm")
    return found


def read_algorithm(section: object) -> object:
    """The algorithm that a section configures, in place of the section; validated.

    A file from before each algorithm had keys of its own names those of all of them: what the
    chosen one does not have had no effect and is passed over. Elsewhere such a key is passed over
    at its default only.

    Raises
    ------
    ValueError
        There is no such algorithm, or a key is another algorithm's; pydantic's `ValidationError`
        for keys that are unknown or ill-typed.
    """
    if not is_dict(section):
        return section
    name = section.get("algorithm", DEFAULT)
    chosen = algorithm_class(str(name))
    others = {key: field for key, field in _known().items() if key not in _keys(chosen)}
    foreign = {key: others[key] for key in section if isinstance(key, str) and key in others}
    if not _names_all(foreign, chosen):
        for key, field in foreign.items():
            if _plain(section[key]) != _plain(field.default):
                raise ValueError(_refusal(str(name), chosen, key))
    return chosen.model_validate(
        {key: value for key, value in section.items() if key not in foreign} | {"algorithm": name}
    )


AnyAlgorithm = Annotated[SerializeAsAny[Algorithm], BeforeValidator(read_algorithm)]
"""A section of a recipe that names its algorithm; without a name grpo."""


def default_algorithm() -> Algorithm:
    """GRPO with all keys at their defaults."""
    return GRPO()


def switched(section: Mapping[str, V], name: str) -> dict[str, V]:
    """The keys of another algorithm's section that `name` has too: what is left of it where a
    section is overridden by one of another algorithm."""
    keys = _keys(algorithm_class(name)) - {"algorithm"}
    return {key: value for key, value in section.items() if key in keys}


def _keys(algorithm: type[Algorithm]) -> set[str]:
    return set(algorithm.model_fields)


def _known() -> dict[str, FieldInfo]:
    """The keys of all our algorithms."""
    return {
        key: field
        for algorithm in BUILT_IN.values()
        for key, field in algorithm.model_fields.items()
    }


def _names_all(foreign: dict[str, FieldInfo], chosen: type[Algorithm]) -> bool:
    """True if a section has keys of every algorithm that has keys which the chosen one lacks."""
    lacking = [_keys(other) - _keys(chosen) for other in BUILT_IN.values()]
    return all(keys & foreign.keys() for keys in lacking if keys)


def _plain(value: object) -> object:
    return list(value) if is_tuple(value) else value


def _refusal(name: str, chosen: type[Algorithm], key: str) -> str:
    owners = [other for other, algorithm in BUILT_IN.items() if key in algorithm.model_fields]
    has = ", ".join(sorted(_keys(chosen) - {"algorithm"}))
    return f"{name} has no key '{key}', which is of {', '.join(owners)}; {name} has {has}"
