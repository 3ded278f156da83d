"""Publishes a run's adapters: one model repository per role on the Hugging Face Hub (or another endpoint).

In flow adapter directories and what the cards say, out repositories with the weights, their configuration, a model card
and the recipe. Nothing leaves this machine before every file of every role has been made and searched for local paths.
It does not read run directories and does not upload base models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from marl_llm.errors import RunFailed, UserError
from marl_llm.hub.card import CardInputs, model_card

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_HOMES = re.compile(rb"(?<![\w.:/-])(/home/|/Users/|/root/|[A-Z]:\\\\?Users\\)[\w./\\-]*")
_FAILURES = (OfflineModeIsEnabled, HfHubHTTPError, httpx.TransportError, httpx.InvalidURL, RuntimeError, ValueError)


@dataclass(frozen=True)
class PublishedRepo:
    """One role's repository.

    Attributes
    ----------
    role : str
    repo_id : str
        "user/name-role".
    files : tuple of str
        Paths in the repository.
    url : str
        Page of the repository.
    card : str
        Its README.md.
    """

    role: str
    repo_id: str
    files: tuple[str, ...]
    url: str
    card: str


def publish_adapters(
    adapters: Mapping[str, Path],
    *,
    repo_prefix: str,
    card: CardInputs,
    endpoint: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    private_paths: Iterable[Path] = (),
) -> list[PublishedRepo]:
    """Publish one repository per role, named "<prefix>-data-scientist" and "<prefix>-ml-engineer".

    Parameters
    ----------
    adapters : mapping of role to Path
        Adapter directories, as PEFT saves them.
    repo_prefix : str
        "user/name".
    card : CardInputs
        What the model cards say.
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
        In the order of `adapters`; repeating a publication updates its repositories.

    Raises
    ------
    UserError
        If the prefix is malformed, an adapter is incomplete, a file names a local path, the token is refused, lacks the
        permission to write, or the endpoint cannot be reached.
    RunFailed
        If the endpoint answers with another error.
    """
    api = HfApi(endpoint=endpoint, token=token)
    repo_ids = {role: f"{repo_prefix}-{role.replace('_', '-')}" for role in adapters}
    for repo_id in repo_ids.values():
        _check_repo_id(repo_id, repo_prefix)
    contents = {role: _contents(role, path, repo_ids[role], card) for role, path in adapters.items()}
    secrets = [Path.cwd(), Path.home(), *adapters.values(), *private_paths]
    for role, files in contents.items():
        _refuse_local_paths(adapters[role], files, secrets)
    if not dry_run:
        for role, files in contents.items():
            _upload(api, repo_ids[role], files)
    return [
        PublishedRepo(
            role, repo_ids[role], tuple(files), f"{api.endpoint}/{repo_ids[role]}", files["README.md"].decode()
        )
        for role, files in contents.items()
    ]


def _check_repo_id(repo_id: str, prefix: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"{prefix!r} cannot begin a repository's name ({error}): give user/name.") from error
    if repo_id.count("/") != 1:
        raise UserError(f"{prefix!r} cannot begin a repository's name: give user/name.")


def _contents(role: str, adapter: Path, repo_id: str, card: CardInputs) -> dict[str, bytes]:
    """Return the files of one repository by their path in it."""
    for name in (_WEIGHTS, _CONFIG):
        if not (adapter / name).is_file():
            raise UserError(f"{adapter} is no adapter (it has no {name}): train first, or name another run.")
    try:
        config = json.loads((adapter / _CONFIG).read_text(encoding="utf-8"))
        rank = int(config["r"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{adapter / _CONFIG} is no LoRA configuration of PEFT: train again, or name another run."
        ) from error
    config["base_model_name_or_path"] = card.base_model
    return {
        _WEIGHTS: (adapter / _WEIGHTS).read_bytes(),
        _CONFIG: json.dumps(config, indent=2, sort_keys=True).encode() + b"\n",
        "README.md": model_card(role, repo_id, rank, card).encode(),
        "recipe.yaml": card.recipe.encode(),
    }


def _refuse_local_paths(adapter: Path, files: Mapping[str, bytes], secrets: Iterable[Path]) -> None:
    """Raise UserError if a file contains one of the paths `secrets`, or (text files) a path into anybody's home."""
    spellings = {str(form) for path in secrets for form in (path.absolute(), path.resolve())} - {"/"}
    for name, content in files.items():
        found = next((path for path in sorted(spellings, reverse=True) if _names(content, path)), None)
        if found is None and name != _WEIGHTS and (home := _HOMES.search(content)):
            found = home.group().decode()
        if found is not None:
            raise UserError(
                f"{name} of the adapter {adapter} would publish the local path {found}: replace it by a public name or "
                "a relative path first."
            )


def _names(content: bytes, path: str) -> bool:
    """Tell whether `content` has `path` as a path of its own, not as a part of another ("/work" in "/workers")."""
    return re.search(rb"(?<![\w.-])" + re.escape(path.encode()) + rb"(?![\w-])", content) is not None


def _upload(api: HfApi, repo_id: str, files: Mapping[str, bytes]) -> None:
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
    with _plain_lfs(), _errors_for_people(api.endpoint, repo_id):
        api.create_repo(repo_id, repo_type="model", exist_ok=True)
        api.create_commit(repo_id, operations, repo_type="model", commit_message="Adapter trained with marl_llm")


@contextmanager
def _plain_lfs() -> Iterator[None]:
    """Upload by plain LFS: adapters are small, and endpoints other than huggingface.co need not speak Xet."""
    before = constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


@contextmanager
def _errors_for_people(endpoint: str, repo_id: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        # huggingface_hub wraps what goes wrong while it uploads one file into a RuntimeError.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise _for_people(endpoint, repo_id, cause) from error


def _for_people(endpoint: str, repo_id: str, error: BaseException) -> UserError:
    if isinstance(error, OfflineModeIsEnabled):
        return UserError("Publishing needs the network, but HF_HUB_OFFLINE is set: unset it.")
    if isinstance(error, HfHubHTTPError):
        return _http_error(endpoint, repo_id, error)
    if isinstance(error, (httpx.TransportError, httpx.InvalidURL)):
        return UserError(f"{endpoint} cannot be reached ({error}): check the network and the endpoint's address.")
    return RunFailed(f"{endpoint} did not take {repo_id} ({_one_line(error)}): publish again to complete it.")


def _http_error(endpoint: str, repo_id: str, error: HfHubHTTPError) -> UserError:
    status = error.response.status_code
    if status == 401:
        return UserError(
            f"{endpoint} does not accept the access token: log in with `hf auth login`, or set HF_TOKEN to a token "
            "that may write."
        )
    if status in (403, 404):
        return UserError(
            f"{endpoint} does not let this token write {repo_id}: use your own user name or organisation in the prefix "
            "and a token that may write."
        )
    said = _one_line(error.server_message or error)
    return RunFailed(f"{endpoint} answered {status} while {repo_id} was uploaded ({said}): try again later.")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]
