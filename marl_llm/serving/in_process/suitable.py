"""Whether a model is one to play in this process: small enough, and of a kind that is computed
here.
"""

from __future__ import annotations

from pathlib import Path

from marl_llm.serving.in_process.config import read_json, unsupported
from marl_llm.serving.in_process.weights import count_parameters


def suits_in_process(directory: Path, most_parameters: int) -> bool:
    """Tell whether the model in `directory` has at most `most_parameters` parameters and can be
    computed here.

    Raises
    ------
    UserError
        The model's files are missing or damaged.
    """
    if most_parameters <= 0 or unsupported(read_json(directory / "config.json")):
        return False
    return count_parameters(directory) <= most_parameters
