"""Publishing and loading: trained teams become repositories on the Hugging Face Hub, and come back
by name.
"""

from __future__ import annotations

from marl_llm.hub.card import CardInputs, model_card
from marl_llm.hub.fetch import FetchedTeam, fetch_team
from marl_llm.hub.manifest import TeamManifest, base_repo_of
from marl_llm.hub.publish import PublishedRepo, TeamInputs, publish_adapters

__all__ = [
    "CardInputs",
    "FetchedTeam",
    "PublishedRepo",
    "TeamInputs",
    "TeamManifest",
    "base_repo_of",
    "fetch_team",
    "model_card",
    "publish_adapters",
]
