from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from marl_llm.algorithms import GRPO
from marl_llm.algorithms.base import Algorithm
from marl_llm.algorithms.registry import BUILT_IN
from marl_llm.core.errors import UserError
from marl_llm.core.roles import ROLES, TEAM
from marl_llm.pipeline.experiment.config import load_experiment
from marl_llm.serving import config
from marl_llm.workspace.open_run import policies, server_session
from marl_llm.workspace.recipe import Recipe, dump_recipe, load_recipe
from marl_llm.workspace.run import RunDirectory

RECIPES = Path(__file__).parents[2] / "recipes"
SOURCES = Path(__file__).parents[2] / "marl_llm"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_an_empty_mapping_is_the_default_recipe(tmp_path):
    assert load_recipe(written(tmp_path, "{}")) == Recipe()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rollouts: {}", "unknown key 'rollouts'; did you mean 'rollout'?"),
        ("rollout:\n  proposal: 3", "unknown key 'rollout.proposal'; did you mean 'proposals'?"),
        (
            "training:\n  ml_engineer:\n    learning_rates: 1",
            "unknown key 'training.ml_engineer.learning_rates'",
        ),
        ("sandbox:\n  zzz: 3", "known here: level, packages, slots"),
        ("seed: many", "key 'seed'"),
        ("rollout:\n  temperature: 0", "key 'rollout.temperature'"),
        (
            "rollout: {temperature: 0.7}\ntraining: {data_scientist: {algorithm: sft}, "
            "ml_engineer: {algorithm: ppo}}",
            "training.ml_engineer.temperature (1) must be rollout.temperature (0.7)",
        ),
        ("rollout: 3", "key 'rollout'"),
        ("tasks:", "key 'tasks'"),
        ("1: 2", "1"),
        ("name: a/b", "key 'name'"),
        ("- a", "a YAML mapping"),
        ("", "a YAML mapping"),
        ("a: [", "not readable as YAML"),
        (
            "credit: {alpha: 0.5}\ntraining: {data_scientist: {algorithm: ppo}, ml_engineer: "
            "{algorithm: ppo}}",
            "credit.alpha: ppo takes own rewards only",
        ),
        (
            "training: {ml_engineer: {imitate: [runs/a]}}",
            "grpo has no key 'imitate', which is of sft; grpo has",
        ),
        (
            "serving: {dtype: half}",
            "key 'serving.dtype': Input should be 'auto', 'float32', 'bfloat16' or 'float16'",
        ),
        ("serving: {request_timeout_s: 0}", "key 'serving.request_timeout_s'"),
        ("serving: {threads: 0}", "key 'serving.threads'"),
        (
            "serving: {extra_args: [--max_num_seqs=4]}",
            "--max-num-seqs is of serving.max_num_seqs; set that",
        ),
        (
            "serving: {extra_args: [--logprobs-m, raw_logprobs]}",
            "--logprobs-mode is set by marl-llm itself",
        ),
        (
            "serving: {extra_args: [--enable-chunked-prefill]}",
            "--no-enable-chunked-prefill is set by marl-llm itself",
        ),
        (
            "serving: {extra_args: [--no-enable-lora]}",
            "--enable-lora is set by marl-llm itself; leave it out",
        ),
        (
            "training: {processes: 0}",
            "'training.processes': Input should be greater than or equal to 1",
        ),
        (
            "training: {processes: 32}",
            "processes (32) may be data_scientist.batch_rows (16) at most",
        ),
        ("training: {accelerate: a.yaml}", "set processes to at least 2"),
        (
            "training: {processes: 2, ml_engineer: {algorithm: dpo}}",
            "processes must be 1, as dpo, the algorithm of ml_engineer, trains in one process only",
        ),
        (
            "training: {processes: 16}\nwarm_start: {episodes: 2, batch_rows: 8}",
            "training.processes (16) may be warm_start.batch_rows (8) at most",
        ),
        ("serving: {extra_args: [fp8]}", "'fp8' is no option of vLLM"),
        (
            "promotion:\n  tasks: 4\n  first_seed: 1003",
            "tasks.first_seed (1000 to 1031) and promotion.first_seed",
        ),
        (
            "tasks:\n  first_seed: 899990",
            "(899990 to 900021) and evaluation.first_seed (900000 to 900015) share tasks",
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_one_sentence_that_names_file_and_key(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert says in message and message.startswith(str(path)) and "\n" not in message


def test_each_roles_credit_is_as_its_algorithm_takes_it(tmp_path):
    text = (
        "credit: {alpha: 0.5}\ntraining: {data_scientist: {algorithm: rloo}, ml_engineer: "
        "{algorithm: ppo}}"
    )
    recipe = load_recipe(written(tmp_path, text))
    assert recipe.credit_of(ROLES[0]) == recipe.credit.model_copy(update={"leave_one_out": True})
    assert recipe.credit_of(ROLES[1]) == recipe.credit and not recipe.credit.leave_one_out


def test_a_missing_recipe_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="there is no such recipe"):
        load_recipe(tmp_path / "nothing.yaml")
    with pytest.raises(UserError):
        load_recipe(tmp_path)


def test_a_recipe_comes_back_from_its_own_text(tmp_path):
    changed = load_recipe(
        written(
            tmp_path,
            "seed: 3\nrewards:\n  prompt_token_price: 1e-7\ntasks:\n  suite: data/bundled\n",
        )
    )
    assert changed.rewards.prompt_token_price == 1e-7
    assert load_recipe(written(tmp_path, dump_recipe(changed))) == changed


def test_every_key_is_described():
    def undescribed(model, prefix=""):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from undescribed(field.annotation, f"{prefix}{name}.")
            elif not field.description and name != "algorithm":
                yield prefix + name

    assert [key for model in (Recipe, *BUILT_IN.values()) for key in undescribed(model)] == []


def keys(model, prefix="", algorithm=GRPO):
    """Keys of a recipe whose roles learn by this algorithm."""
    for name, field in model.model_fields.items():
        section = algorithm if field.annotation is Algorithm else field.annotation
        nested = hasattr(section, "model_fields")
        yield from keys(section, f"{prefix}{name}.", algorithm) if nested else [prefix + name]


def given(content, prefix=""):
    for name, value in content.items():
        yield from (
            given(value, f"{prefix}{name}.")
            if isinstance(value, dict) and value
            else [prefix + name]
        )


def test_every_key_stands_in_the_commented_recipe():
    text = (RECIPES / "tiny" / "cpu.yaml").read_text()
    assert set(keys(Recipe)) - set(given(yaml.safe_load(text))) == set()
    bare = [
        line
        for line in text.splitlines()
        if ": " in line and "#" not in line and not {"&", "*"} & set(line)
    ]
    assert bare == []


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(RECIPES.rglob("*.yaml")) if p.parent.name != "accelerate"],
    ids=lambda path: path.stem,
)
def test_the_recipes_of_the_repository_can_be_read(path):
    load_experiment(path) if path.stem == "experiment" else load_recipe(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "model: {adapters: shared}\ntraining: {schedule: alternate}",
            "so training.schedule must be both",
        ),
        ("model: {adapters: shared}\ntraining: {ml_engineer: {epochs: 7}}", "must be the same"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        load_recipe(written(tmp_path, text))


def test_a_shared_adapter_is_the_one_that_both_roles_play_with(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.trainees == ROLES
    run.prepare(Recipe.model_validate({"model": {"adapters": "shared"}}))
    assert run.trainees == (TEAM,) and [path.name for path in run.adapters.iterdir()] == ["team-v0"]
    assert run.adapter(ROLES[0], 0) == run.adapter(ROLES[1], 0) and run.version(ROLES[1]) == 0
    names = {
        policy.info.name
        for policy in policies(run.recipe().name, run, dict.fromkeys(ROLES, 0)).values()
    }
    assert names == {f"run-team-v0-{run.sha256(TEAM, 0)[:8]}"}


def with_adapters(root: Path) -> RunDirectory:
    """A run directory whose untrained adapters exist, so that `prepare` makes none."""
    run = RunDirectory(root)
    for role in ROLES:
        made = run.adapter(role, 0)
        made.mkdir(parents=True)
        (made / "adapter_config.json").write_text("{}")
        (made / "adapter_model.safetensors").write_bytes(b"")
    return run


def test_a_run_directory_refuses_another_recipe_but_takes_more_iterations(tmp_path):
    run = with_adapters(tmp_path)
    run.prepare(Recipe(seed=1))
    run.prepare(Recipe(seed=1, iterations=9))
    assert run.recipe().iterations == 9
    with pytest.raises(UserError, match="holds a run of another recipe"):
        run.prepare(Recipe(seed=2, iterations=9))
    assert run.recipe().seed == 1


def test_how_the_server_is_run_may_change_within_a_run_and_what_it_computes_may_not(tmp_path):
    run = with_adapters(tmp_path)
    run.prepare(Recipe())
    patient = Recipe.model_validate(
        {"serving": {"request_timeout_s": 900, "max_num_seqs": 4, "threads": 2}}
    )
    run.prepare(patient)
    assert run.recipe() == patient
    for key, value in {
        "dtype": "bfloat16",
        "max_model_len": 512,
        "extra_args": ["--seed", "1"],
    }.items():
        with pytest.raises(UserError, match="holds a run of another recipe"):
            run.prepare(Recipe.model_validate({"serving": {key: value}}))


def test_the_server_is_started_as_the_recipe_says(tmp_path):
    serving = {
        "dtype": "bfloat16",
        "threads": 2,
        "request_timeout_s": 7,
        "extra_args": ["--block-size", "64"],
    }
    session = server_session(
        Recipe.model_validate({"serving": serving}).playing, tmp_path / "server.log"
    )
    made = config.command("m", "h", 1, session.config, config.Device.cpu)
    assert made[made.index("--dtype") + 1] == "bfloat16" and made[-2:] == ["--block-size", "64"]
    assert (
        config.environment(session.config, config.Device.cpu, offline=True)["OMP_NUM_THREADS"]
        == "2"
    )
    assert session.request_timeout_s == 7


def strings(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_message_names_a_setting_that_does_not_exist():
    sections = "prompts|rollout|sandbox|serving|rewards|training"
    named = re.compile(rf"(?<![\w./])(?:{sections})(?:\.[a-z_]+)+")
    every = {key for algorithm in BUILT_IN.values() for key in keys(Recipe, algorithm=algorithm)}
    known = {key[: cut.start()] for key in every for cut in re.finditer(r"\.|$", key)}
    said = {
        (path.name, key)
        for path in SOURCES.rglob("*.py")
        for text in strings(path)
        for key in named.findall(text)
    }
    assert ("server.py", "serving.request_timeout_s") in said
    assert {(name, key) for name, key in said if key not in known} == set()


def test_progress_is_read_off_the_files(tmp_path):
    run = with_adapters(tmp_path)
    assert run.next_iteration() == 0 and not run.collected(0)
    run.metrics(0).parent.mkdir()
    run.metrics(0).write_text("{}")
    assert run.next_iteration() == 1
    assert [run.version(role) for role in ROLES] == [0, 0]


def test_what_is_no_run_directory_is_said_so(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        RunDirectory(tmp_path).recipe()
    with pytest.raises(UserError, match="no adapters here"):
        RunDirectory(tmp_path).version(ROLES[0])
