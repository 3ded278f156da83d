"""A published team by name: both adapters, the recipe and the experience in the Hub's cache, each
with its checksum.

Only the files that the manifest may name are downloaded: JSON, YAML and safetensors, never a
pickle. It loads no model and does not look at the base model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from marl_llm.core.errors import UserError
from marl_llm.core.hub_names import TeamName
from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.hub.download import download
from marl_llm.hub.manifest import TEAM_FILE, TeamManifest, read_manifest, repo_of
from marl_llm.training.adapters import WEIGHTS_FILE


@dataclass(frozen=True)
class FetchedTeam:
    """A team on this machine.

    Attributes
    ----------
    name : str
        "user/name@commit", the commit of the Data Scientist's repository: it pins all the rest.
    manifest : TeamManifest
    directories : dict of role to Path
        Each with the files of its role; the Data Scientist's also with recipe and experience.
    """

    name: str
    manifest: TeamManifest
    directories: dict[str, Path]


def fetch_team(name: TeamName) -> FetchedTeam:
    """Download a team, or take it from the cache.

    Raises
    ------
    UserError
        As `download`; or what is there is no team, or an adapter that is no safetensors.
    """
    entry = repo_of(name.prefix, DATA_SCIENTIST)
    found = download(entry, TEAM_FILE, name.revision)
    manifest, commit = read_manifest(found, entry), found.parent.name
    directories = {}
    for role, part in manifest.roles.items():
        repo_id, at = repo_of(name.prefix, role), manifest.commit_of(role, commit)
        paths = {file: download(repo_id, file, at, sha256) for file, sha256 in part.sha256.items()}
        _require_safetensors(paths[WEIGHTS_FILE], repo_id)
        directories[role] = paths[WEIGHTS_FILE].parent
    return FetchedTeam(f"{name.prefix}@{commit}", manifest, directories)


def _require_safetensors(path: Path, repo_id: str) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{repo_id}: its {path.name} is no safetensors file "
            f"({' '.join(str(error).split())[:80]}); nothing else is "
            "read: have the team published again."
        ) from None
