"""Publishing: trained adapters become repositories on the Hugging Face Hub."""

from __future__ import annotations

from marl_llm.hub.card import CardInputs, model_card
from marl_llm.hub.publish import PublishedRepo, publish_adapters

__all__ = ["CardInputs", "PublishedRepo", "model_card", "publish_adapters"]
