"""The model cards: what an adapter adapts, how it was trained, how well it did, how to load it.
Pure text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from huggingface_hub import ModelCard, ModelCardData

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.hub.manifest import base_repo_of, repo_of
from marl_llm.serving.config import served_lora_rank

_DUTIES = {
    DATA_SCIENTIST: "the Data Scientist: it reads what is known about a tabular task and proposes "
    "the next change",
    ML_ENGINEER: "the ML Engineer: it writes the scikit-learn pipeline that does what the Data "
    "Scientist proposed",
}

_OTHER = {DATA_SCIENTIST: ML_ENGINEER, ML_ENGINEER: DATA_SCIENTIST}


@dataclass(frozen=True)
class CardInputs:
    """What the cards of a run say.

    Attributes
    ----------
    base_model : str
        Name of the base model on the Hub.
    recipe : str
        The resolved recipe, YAML; published as recipe.yaml.
    training : mapping of role to mapping of str to number or str
        Figures of each role's training, e.g. {"ml_engineer": {"iterations": 4, "rows": 512}}.
    method : str
        The loss the adapters were trained with, as part of a sentence.
    evaluation : str
        The evaluation table, Markdown; empty if the run has not been evaluated.
    license : str
        Licence of the adapter, an SPDX name as the Hub writes it.
    """

    base_model: str
    recipe: str
    training: Mapping[str, Mapping[str, float | int | str]] = field(default_factory=dict)
    method: str = "the clipped policy loss of GRPO"
    evaluation: str = ""
    license: str = "apache-2.0"


def model_card(role: str, prefix: str, rank: int, inputs: CardInputs) -> str:
    """Return README.md of the adapter of `role` with LoRA rank `rank`: YAML metadata, then
    Markdown.

    Raises
    ------
    UserError
        vLLM serves no adapter of this rank.
    """
    repo_id = repo_of(prefix, role)
    metadata = ModelCardData(
        base_model=inputs.base_model,
        library_name="peft",
        license=inputs.license,
        language="en",
        pipeline_tag="text-generation",
        tags=[
            "lora",
            "marl_llm",
            "multi-agent",
            "reinforcement-learning",
            "offline-rl",
            "automl",
            role,
        ],
    )
    sections = [
        f"# {repo_id.split('/')[-1]}",
        f"A LoRA adapter (rank {rank}) for "
        f"[{inputs.base_model}](https://huggingface.co/{inputs.base_model}). It plays "
        f"{_DUTIES[role]}. The other role has an adapter of its own, "
        f"`{repo_of(prefix, _OTHER[role])}`; both share the base model.",
        f"## How it was trained\n\n{_training(inputs.method, inputs.training.get(role, {}))}",
        f"## Evaluation\n\n{inputs.evaluation.strip() or 'This run has not been evaluated.'}",
        f"## How to load it\n\n{_loading(prefix, role, rank, inputs.base_model)}",
        "## Limits\n\nThe adapter writes Python code. Run that code only in a sandbox, as "
        "marl_llm does.",
    ]
    body = "\n\n".join(sections)
    return str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"))


def base_card(prefix: str, inputs: CardInputs) -> str:
    """Return README.md of the embedded base model, published along with the team `prefix`."""
    metadata = ModelCardData(
        library_name="transformers",
        license=inputs.license,
        language="en",
        pipeline_tag="text-generation",
        tags=["marl_llm"],
    )
    repo_id = base_repo_of(prefix)
    body = (
        f"# {repo_id.split('/')[-1]}\n\nThe small base model that is embedded in the "
        "marl_llm repository, as it was "
        f"when `{repo_of(prefix, DATA_SCIENTIST)}` and `{repo_of(prefix, ML_ENGINEER)}` were "
        "trained on it. It knows "
        "the protocol of the two agents and nothing else."
    )
    return str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"))


def _training(method: str, summary: Mapping[str, float | int | str]) -> str:
    text = (
        "Two language model agents improved scikit-learn pipelines on CSV files together. Their "
        "trajectories were logged with the log-probabilities of the tokens as sampled, and the "
        f"adapter was trained on them offline with {method}. Every setting is in `recipe.yaml`."
    )
    rows = [
        f"| {name} | {value:.4g} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in summary.items()
    ]
    return "\n".join([text, "", "| | |", "|---|---|", *rows]) if rows else text


def _loading(prefix: str, role: str, rank: int, base: str) -> str:
    repo_id, largest = repo_of(prefix, role), served_lora_rank(rank)
    entry = repo_of(prefix, DATA_SCIENTIST)
    return f"""The team, asked as it was trained (`--team {prefix}@COMMIT` for a commit of \
`{entry}`):

```sh
marl-llm solve your.csv --target COLUMN --team {prefix} --out runs/yours
```

This adapter alone:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{base}")
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "{repo_id}")
```

```sh
vllm serve {base} --enable-lora --max-lora-rank {largest} --lora-modules {role}={repo_id}
```"""
