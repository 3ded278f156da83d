"""One commit to one model repository on the Hub, and what goes wrong there as a sentence for
people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from marl_llm.core.errors import RunFailed, UserError

_FAILURES = (
    OfflineModeIsEnabled,
    HfHubHTTPError,
    httpx.TransportError,
    httpx.InvalidURL,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)
"""The last three are how huggingface_hub takes an answer that is no Hub's, such as {}."""


def upload(api: HfApi, repo_id: str, files: Mapping[str, bytes], message: str) -> str:
    """Make the repository if need be and commit the files; returns the commit (the last one, where
    nothing is new).

    Raises
    ------
    UserError
        The token is refused or lacks the permission to write, or the endpoint cannot be reached.
    RunFailed
        The endpoint answers with another error.
    """
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for name, content in files.items()
    ]
    with _plain_lfs(), _errors_for_people(api.endpoint, repo_id):
        api.create_repo(repo_id, repo_type="model", exist_ok=True)
        return api.create_commit(repo_id, operations, repo_type="model", commit_message=message).oid


@contextmanager
def _plain_lfs() -> Iterator[None]:
    """Upload by plain LFS: adapters are small, and endpoints other than huggingface.co need not
    speak Xet.
    """
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
        return UserError(
            f"{endpoint} cannot be reached ({error}): check the network and the endpoint's address."
        )
    if isinstance(error, KeyError | TypeError | AttributeError):
        return UserError(
            f"{endpoint} does not answer as a Hub does ({type(error).__name__}: "
            f"{_one_line(error)}): check the endpoint's address."
        )
    return RunFailed(
        f"{endpoint} did not take {repo_id} ({_one_line(error)}): publish again to complete it."
    )


def _http_error(endpoint: str, repo_id: str, error: HfHubHTTPError) -> UserError:
    status = error.response.status_code
    if status == 401:
        return UserError(
            f"{endpoint} does not accept the access token: log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write."
        )
    if status in (403, 404):
        return UserError(
            f"{endpoint} does not let this token write {repo_id}: use your own user name or "
            "organisation in the prefix and a token that may write."
        )
    said = _one_line(error.server_message or error)
    return RunFailed(
        f"{endpoint} answered {status} while {repo_id} was uploaded ({said}): try again later."
    )


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:200]
