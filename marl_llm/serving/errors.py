"""What can go wrong between us and a model server. Each is one sentence for a person and a type for
the caller: only `PromptTooLong` concerns a single request; after the others the collecting stops.
"""

from __future__ import annotations

from marl_llm.core.errors import RunFailed


class ServerDied(RunFailed):
    """The server ended, could not start, or no longer answers."""


class PromptTooLong(RunFailed):
    """The prompt and the room asked for the completion do not fit into the context. The caller ends
    the turn.

    Attributes
    ----------
    max_model_len : int
        Tokens the context holds.
    max_tokens : int
        Tokens asked for the completion.
    """

    def __init__(self, max_model_len: int, max_tokens: int) -> None:
        super().__init__(
            f"A prompt and the {max_tokens} tokens asked for its completion do not fit into the "
            f"{max_model_len} tokens of the server's context: lower prompts.memory_tokens, or "
            "rollout.data_scientist_tokens and rollout.engineer_tokens, or raise "
            "serving.max_model_len, in the recipe."
        )
        self.max_model_len = max_model_len
        self.max_tokens = max_tokens


class ServerStalled(RunFailed):
    """The server is up but did nothing for longer than we are patient. A slow server is none."""


class AdapterError(RunFailed):
    """The server serves no adapter of this name, or could not load it."""


class BadReply(RunFailed):
    """The server answered with something that cannot be logged: an error, or tokens without
    log-probabilities. Another answer to the same request may be better.
    """


class RequestRefused(BadReply):
    """The server will not answer this request, however often it is sent."""


class ServerBusy(RunFailed):
    """The server has turned requests away for longer than we are patient."""
