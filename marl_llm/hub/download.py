"""One file of a repository on the Hub, in the Hub's own cache; what goes wrong on the way as a
sentence for people.

What is cached is used where the Hub cannot be reached. It goes to HF_ENDPOINT, with the token of
`hf auth login` or HF_TOKEN, like everything that huggingface_hub downloads.
"""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from marl_llm.core.digests import file_sha256
from marl_llm.core.errors import UserError

_LFS_BLOB = re.compile(r"[0-9a-f]{64}")


def download(
    repo_id: str, name: str, revision: str | None = None, sha256: str | None = None
) -> Path:
    """One file at a revision (default: the main branch), with the checksum it must have.

    Returns
    -------
    Path
        `<cache>/.../snapshots/<commit>/<name>`: its parent's name is the commit.

    Raises
    ------
    UserError
        There is no such repository, revision or file, it may not be read, the Hub cannot be reached
        and the file is not cached, or its content is not what was published.
    """
    at = f"{repo_id}@{revision}" if revision else repo_id
    try:
        path = Path(hf_hub_download(repo_id, name, revision=revision))
        found = file_sha256(path)
    except (
        HfHubHTTPError,
        EntryNotFoundError,
        OfflineModeIsEnabled,
        httpx.HTTPError,
        OSError,
    ) as error:
        raise UserError(_sentence(at, repo_id, name, error)) from None
    except HFValidationError as error:
        raise UserError(
            f"{repo_id} is no name of a repository ({error}): give user/name."
        ) from None
    blob = (
        path.resolve().name
    )  # the cache names a blob by the Hub's own hash: of an LFS file its SHA-256
    if _LFS_BLOB.fullmatch(blob) and blob != found:
        raise UserError(
            f"{at}: {name} is not what the Hub has (SHA-256 {found[:12]}, there {blob[:12]}): "
            f"delete {path.resolve()} and load it again."
        )
    if sha256 is not None and found != sha256:
        raise UserError(
            f"{at}: {name} is not what was published (SHA-256 {found[:12]}, its team.json says "
            f"{sha256[:12]}): do not use it; name an earlier revision, or have the team published "
            "again."
        )
    return path


def _sentence(at: str, repo_id: str, name: str, error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return (
            f"{at} is gated: accept its terms at {constants.ENDPOINT}/{repo_id}, then log in "
            "with `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{constants.ENDPOINT} has no repository {repo_id}, or it is private: check the name, "
            "or log in with `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{at}: the repository has no such revision; name a commit, a tag or a branch of it."
    if isinstance(error, LocalEntryNotFoundError):
        unreachable = f"{constants.ENDPOINT} cannot be reached or answers with an error"
        why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else unreachable
        return (
            f"{at}: {name} is not in the Hub's cache on this machine, and {why}: run this again "
            "when it can be had."
        )
    if isinstance(error, EntryNotFoundError):
        return f"{at} has no {name}; {_NEEDED.get(name, 'publish the team again.')}"
    reason = " ".join(str(error).split())[:160]
    return f"{at}: {name} could not be downloaded ({reason}): run this again."


_NEEDED = {
    "team.json": "a team is what `marl-llm publish` has put there.",
    "adapter_model.safetensors": "weights in other formats (.bin, pickles) can run code and are "
    "not read.",
}
