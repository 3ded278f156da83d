"""The one place where the training libraries are told to be quiet and to stay offline; called
before the first of them is imported.
"""

from __future__ import annotations

import logging
import os
import warnings

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def quiet_libraries() -> None:
    """Turn off telemetry, hub look-ups, progress bars and advice of transformers, TRL and PEFT;
    what the user has set stays.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("transformers", "trl", "peft", "accelerate", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # TRL 1.16 itself sets the option that transformers calls deprecated, so the warning says
    # nothing to our user.
    warnings.filterwarnings("ignore", message=r".*gradient_checkpointing.*deprecated.*")
    # PEFT looks for the base by its name, which is no path by intent; our adapters never change the
    # vocabulary.
    warnings.filterwarnings(
        "ignore", message=r"Could not find a config file in .*vocabulary was not modified"
    )
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft)\..*")
