"""The model card of one adapter: what it adapts, how it was trained, how well it did, how to load it. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from huggingface_hub import ModelCard, ModelCardData

from marl_llm.roles import DATA_SCIENTIST, ML_ENGINEER

_DUTIES = {
    DATA_SCIENTIST: "the Data Scientist: it reads what is known about a tabular task and proposes the next change",
    ML_ENGINEER: "the ML Engineer: it writes the scikit-learn pipeline that does what the Data Scientist proposed",
}


@dataclass(frozen=True)
class CardInputs:
    """What the cards of a run say.

    Attributes
    ----------
    base_model : str
        Public name of the base model on the Hub; for the embedded one its path in the marl_llm repository.
    embedded : bool
        Whether the base model is the one in the marl_llm repository (it is not on the Hub).
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
    embedded: bool
    recipe: str
    training: Mapping[str, Mapping[str, float | int | str]] = field(default_factory=dict)
    method: str = "the clipped policy loss of GRPO"
    evaluation: str = ""
    license: str = "apache-2.0"


def model_card(role: str, repo_id: str, rank: int, inputs: CardInputs) -> str:
    """Return README.md of the adapter of `role` with LoRA rank `rank`: YAML metadata, then Markdown."""
    metadata = ModelCardData(
        base_model=None if inputs.embedded else inputs.base_model,
        library_name="peft",
        license=inputs.license,
        language="en",
        pipeline_tag="text-generation",
        tags=["lora", "marl_llm", "multi-agent", "reinforcement-learning", "offline-rl", "automl", role],
    )
    sections = [
        f"# {repo_id.split('/')[-1]}",
        f"A LoRA adapter (rank {rank}) for {_base(inputs)}. It plays {_DUTIES[role]}. The other role has an adapter "
        "and a repository of its own; both share the base model.",
        f"## How it was trained\n\n{_training(inputs.method, inputs.training.get(role, {}))}",
        f"## Evaluation\n\n{inputs.evaluation.strip() or 'This run has not been evaluated.'}",
        f"## How to load it\n\n{_loading(role, repo_id, rank, inputs)}",
        "## Limits\n\nThe adapter writes Python code. Run that code only in a sandbox, as marl_llm does.",
    ]
    body = "\n\n".join(sections)
    return str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"))


def _base(inputs: CardInputs) -> str:
    if inputs.embedded:
        return f"the small base model that is embedded in the marl_llm repository under `{inputs.base_model}`"
    return f"[{inputs.base_model}](https://huggingface.co/{inputs.base_model})"


def _training(method: str, summary: Mapping[str, float | int | str]) -> str:
    text = (
        "Two language model agents improved scikit-learn pipelines on CSV files together. Their trajectories were "
        "logged with the log-probabilities of the tokens as sampled, and the adapter was trained on them offline with "
        f"{method}. Every setting is in `recipe.yaml`."
    )
    rows = [
        f"| {name} | {value:.4g} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in summary.items()
    ]
    return "\n".join([text, "", "| | |", "|---|---|", *rows]) if rows else text


def _loading(role: str, repo_id: str, rank: int, inputs: CardInputs) -> str:
    where = "From the root of a marl_llm checkout:\n\n" if inputs.embedded else ""
    return f"""{where}```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{inputs.base_model}")
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{inputs.base_model}"), "{repo_id}")
```

```sh
vllm serve {inputs.base_model} --enable-lora --max-lora-rank {max(8, rank)} --lora-modules {role}={repo_id}
```"""
