"""Every page's relative links lead somewhere."""

from __future__ import annotations

import re

import pytest

from marl_llm.core.base_model import PROJECT

PLACES = (
    "*.md",
    ".github/*.md",
    "marl_llm/**/*.md",
    "recipes/**/*.md",
    "data/*.md",
    "data/results/*.md",
)
PAGES = sorted(str(path.relative_to(PROJECT)) for place in PLACES for path in PROJECT.glob(place))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str):
    path = PROJECT / page
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if "://" not in link]
    missing = [link for link in local if link and not (path.parent / link).exists()]
    assert not missing
