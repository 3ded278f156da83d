"""Who samples: a model server (a real vLLM process) with its client, or a small model in this
process.
"""

from __future__ import annotations

from marl_llm.serving.client import ChatClient
from marl_llm.serving.completion import Completion, Sampler
from marl_llm.serving.config import ServerConfig
from marl_llm.serving.errors import (
    AdapterError,
    BadReply,
    PromptTooLong,
    ServerBusy,
    ServerDied,
    ServerStalled,
)
from marl_llm.serving.server import ModelServer

__all__ = [
    "AdapterError",
    "BadReply",
    "ChatClient",
    "Completion",
    "ModelServer",
    "PromptTooLong",
    "Sampler",
    "ServerBusy",
    "ServerConfig",
    "ServerDied",
    "ServerStalled",
]
