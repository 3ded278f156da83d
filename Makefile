# marl_llm: `make demo` shows the main job, `make test` runs the tests. Both install everything first if needed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RECIPE ?= recipes/tiny/cpu.yaml
RUN ?= runs/$(notdir $(basename $(RECIPE)))
SUITE ?= data/bundled
# Where pip finds no CPU build of torch by itself, it is taken from here.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo rollout train iterate evaluate publish solve test lint bench tiny-model clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/installed ## create .venv and install everything (once)

$(VENV)/installed: pyproject.toml scripts/install.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) TORCH_CPU_INDEX=$(TORCH_CPU_INDEX) sh scripts/install.sh

demo: install ## two agents improve a model, are trained on it, and are compared with their untrained selves
	@$(BIN)/marl-llm demo --run runs/demo

rollout: install ## collect trajectories: RECIPE=..., RUN=...
	@$(BIN)/marl-llm rollout --recipe $(RECIPE) --run $(RUN)

train: install ## train both adapters on what was collected
	@$(BIN)/marl-llm train --recipe $(RECIPE) --run $(RUN)

iterate: install ## collect and train, K times
	@$(BIN)/marl-llm iterate --recipe $(RECIPE) --run $(RUN)

evaluate: install ## compare teams and baselines on a suite of CSVs: SUITE=...
	@$(BIN)/marl-llm evaluate --run $(RUN) --suite $(SUITE)

publish: install ## adapters to the Hugging Face Hub: REPO=user/name
	@$(BIN)/marl-llm publish $(RUN) --repo-prefix $(REPO)

solve: install ## improve a model on your CSV: CSV=... TARGET=...
	@$(BIN)/marl-llm solve $(CSV) --target $(TARGET) --out $(or $(OUT),runs/solve)

test: install ## all tests
	@$(BIN)/python -m pytest

lint: install ## ruff and pyright
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

bench: install ## speed, as ratios measured side by side
	@$(BIN)/marl-llm bench

tiny-model: install ## make the embedded model again (about 25 minutes on one core)
	@$(BIN)/python -m marl_llm.tiny.pretrain --out data/models/tiny

clean: ## remove the environment and the runs
	rm -rf $(VENV) runs
