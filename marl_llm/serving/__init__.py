"""The model server (a real vLLM process) and the client that samples from it and keeps the sampled tokens."""

from __future__ import annotations

from marl_llm.serving.client import ChatClient, Completion
from marl_llm.serving.config import ServerConfig
from marl_llm.serving.errors import AdapterError, BadReply, PromptTooLong, RequestTimedOut, ServerDied
from marl_llm.serving.server import ModelServer

__all__ = [
    "AdapterError",
    "BadReply",
    "ChatClient",
    "Completion",
    "ModelServer",
    "PromptTooLong",
    "RequestTimedOut",
    "ServerConfig",
    "ServerDied",
]
