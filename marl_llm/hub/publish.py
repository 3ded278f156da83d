"""Publishes a run's team: one model repository per role on the Hugging Face Hub (or another
endpoint), and one with the base model where that is the embedded one.

In flow adapter directories and what the cards say, out repositories with the weights, their
configuration, a model card and the recipe; the Data Scientist's also has the manifest that pins the
Engineer's commit. It is committed last: until then its main branch is the team published before,
whole. Nothing leaves this machine before every file of every role has been made and searched for
local paths and credentials. It does not read run directories.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.hub.card import CardInputs, base_card, model_card
from marl_llm.hub.manifest import (
    EXPERIENCE_FILE,
    RECIPE_FILE,
    TEAM_FILE,
    RoleManifest,
    TeamManifest,
    base_repo_of,
    repo_of,
)
from marl_llm.hub.private import refuse_private
from marl_llm.hub.upload import upload
from marl_llm.training.adapters import CONFIG_FILE, WEIGHTS_FILE

_CARD_FILE = "README.md"
_BASE = "base"
_BASE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
)


@dataclass(frozen=True)
class PublishedRepo:
    """One repository.

    Attributes
    ----------
    role : str
        Of the adapter in it; "base" for the embedded base model.
    repo_id : str
        "user/name-role".
    files : tuple of str
        Paths in the repository.
    url : str
        Page of the repository.
    card : str
        Its README.md.
    commit : str
        What was made of it; "" after a dry run.
    """

    role: str
    repo_id: str
    files: tuple[str, ...]
    url: str
    card: str
    commit: str


@dataclass(frozen=True)
class TeamInputs:
    """What the manifest says, and what goes along with the adapters.

    Attributes
    ----------
    versions : mapping of role to int
        Version of each adapter in its run.
    shared : bool
        Whether both roles play with the same adapter.
    base_sha256 : str or None
        Fingerprint of the base model's weights (`weights_sha256`), None where they are not at hand.
    base : Path or None
        Directory of the base model if it is to be published along with the adapters.
    experience : Path or None
        Experience store of the training, if the team's prompts show some of it.
    """

    versions: Mapping[str, int]
    shared: bool = False
    base_sha256: str | None = None
    base: Path | None = None
    experience: Path | None = None


def publish_adapters(
    adapters: Mapping[str, Path],
    *,
    repo_prefix: str,
    card: CardInputs,
    team: TeamInputs,
    endpoint: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    private_paths: Iterable[Path] = (),
) -> list[PublishedRepo]:
    """Publish one repository per role, named "<prefix>-data-scientist" and "<prefix>-ml-engineer".

    Parameters
    ----------
    adapters : mapping of role to Path
        Adapter directories of both roles, as PEFT saves them.
    repo_prefix : str
        "user/name": what the team is called.
    card : CardInputs
        What the model cards say.
    team : TeamInputs
        What the manifest says; with `base` there is a repository "<prefix>-base" too.
    endpoint : str, optional
        Address of the Hub; huggingface.co by default.
    token : str, optional
        Access token; by default the one of `hf auth login` or HF_TOKEN.
    dry_run : bool
        Make and check everything, upload nothing, need no network.
    private_paths : iterable of Path
        Paths that no file may contain, besides the adapters', the working and the home directory.

    Returns
    -------
    list of PublishedRepo
        The roles in the order of `ROLES`, then the base; repeating a publication updates its
        repositories.

    Raises
    ------
    UserError
        If the prefix is malformed, an adapter is incomplete or no safetensors, a file names a local
        path or holds a credential, the token is refused, lacks the permission to write, or the
        endpoint cannot be reached.
    RunFailed
        If the endpoint answers with another error.
    """
    api = HfApi(endpoint=endpoint, token=token)
    repo_ids = {role: repo_of(repo_prefix, role) for role in ROLES}
    if team.base is not None:
        repo_ids[_BASE] = base_repo_of(repo_prefix)
    for repo_id in repo_ids.values():
        _check_repo_id(repo_id, repo_prefix)
    contents = {role: _contents(role, adapters[role], repo_prefix, card) for role in ROLES}
    if team.experience is not None:
        contents[DATA_SCIENTIST][EXPERIENCE_FILE] = team.experience.read_bytes()
    if team.base is not None:
        contents[_BASE] = _base_contents(team.base, repo_prefix, card)
    secrets = [Path.cwd(), Path.home(), *adapters.values(), *private_paths]
    for role, files in contents.items():
        what = f"{'the' if role == _BASE else 'the adapter'} {role}"
        refuse_private(what, files, secrets, token or get_token())
    made = _manifest(contents, card, team, "0" * 40)
    contents[DATA_SCIENTIST][TEAM_FILE] = _text(made)
    commits = {} if dry_run else _upload_all(api, repo_ids, contents, made)
    return [
        PublishedRepo(
            role,
            repo_ids[role],
            tuple(contents[role]),
            f"{api.endpoint}/{repo_ids[role]}",
            contents[role][_CARD_FILE].decode(),
            commits.get(role, ""),
        )
        for role in repo_ids
    ]


def _upload_all(
    api: HfApi,
    repo_ids: Mapping[str, str],
    contents: Mapping[str, dict[str, bytes]],
    manifest: TeamManifest,
) -> dict[str, str]:
    """Upload what the manifest leans on, then the manifest's own repository; returns the
    commits.
    """
    first = [role for role in repo_ids if role != DATA_SCIENTIST]
    says = "Team trained with marl_llm"
    commits = {role: upload(api, repo_ids[role], contents[role], says) for role in first}
    pinned = manifest.model_copy(update={"engineer_commit": commits[ML_ENGINEER]})
    files = contents[DATA_SCIENTIST] | {TEAM_FILE: _text(pinned)}
    return commits | {DATA_SCIENTIST: upload(api, repo_ids[DATA_SCIENTIST], files, says)}


def _manifest(
    contents: Mapping[str, Mapping[str, bytes]],
    card: CardInputs,
    team: TeamInputs,
    engineer_commit: str,
) -> TeamManifest:
    def of(role: str) -> RoleManifest:
        files = {name: content for name, content in contents[role].items() if name != _CARD_FILE}
        sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        return RoleManifest.model_validate({"version": team.versions[role], "sha256": sha256})

    return TeamManifest(
        base_model=card.base_model,
        base_sha256=team.base_sha256,
        shared=team.shared,
        engineer_commit=engineer_commit,
        data_scientist=of(DATA_SCIENTIST),
        ml_engineer=of(ML_ENGINEER),
    )


def _text(manifest: TeamManifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode() + b"\n"


def _check_repo_id(repo_id: str, prefix: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(
            f"{prefix!r} cannot begin a repository's name ({error}): give user/name."
        ) from error
    if repo_id.count("/") != 1:
        raise UserError(f"{prefix!r} cannot begin a repository's name: give user/name.")


def _contents(role: str, adapter: Path, prefix: str, card: CardInputs) -> dict[str, bytes]:
    """Return the files of one role's repository by their path in it."""
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (adapter / name).is_file():
            raise UserError(
                f"{adapter} is no adapter (it has no {name}): train first, or name another run."
            )
    try:
        config = json.loads((adapter / CONFIG_FILE).read_text(encoding="utf-8"))
        rank = int(config["r"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{adapter / CONFIG_FILE} is no LoRA configuration of PEFT: train again, or name "
            "another run."
        ) from error
    _require_weights(adapter / WEIGHTS_FILE)
    config["base_model_name_or_path"] = card.base_model
    return {
        WEIGHTS_FILE: (adapter / WEIGHTS_FILE).read_bytes(),
        CONFIG_FILE: json.dumps(config, indent=2, sort_keys=True).encode() + b"\n",
        _CARD_FILE: model_card(role, prefix, rank, card).encode(),
        RECIPE_FILE: card.recipe.encode(),
    }


def _require_weights(path: Path) -> None:
    """Raise UserError unless a file holds finite weights, in safetensors."""
    import torch

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            odd = next(
                (name for name in names if not torch.isfinite(file.get_tensor(name)).all()), None
            )
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is no safetensors file ({' '.join(str(error).split())[:80]}): train again, or "
            "name another run."
        ) from None
    if not names or odd is not None:
        what = f"{odd} is not finite" if odd else "there is no weight in it"
        raise UserError(f"{path} cannot be published ({what}): train again, or name another run.")


def _base_contents(directory: Path, prefix: str, card: CardInputs) -> dict[str, bytes]:
    """Return the files of the embedded base model's repository."""
    here = [directory / name for name in _BASE_FILES]
    files = {path.name: path.read_bytes() for path in here if path.is_file()}
    return files | {_CARD_FILE: base_card(prefix, card).encode()}
