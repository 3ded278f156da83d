"""A stand-in for the Hugging Face Hub on this machine, over real HTTP: the routes of a model's
upload (create, LFS, commit), with tokens, permissions and checksums, and of its download by commit,
tag or branch. It keeps every byte it was sent. The project's only fake.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from huggingface_hub import constants

TOKEN = "a-token-that-may-write"
OWNER = "ada"


class LoopbackHub(ThreadingHTTPServer):
    """Accepts TOKEN for OWNER's repositories; who reads needs none.

    `repositories`: {repo_id: {path: bytes}} of the main branch; `commits`: the same by commit,
    `heads` the latest; `tags`: {repo_id: {tag: commit}}; `received`: every body; `asked`: every
    path that was read.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.received: list[bytes] = []
        self.asked: list[str] = []
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.heads: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.gated: set[str] = set()
        self.failing = self.losing_blobs = self.saying_nothing = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo_id: str, files: dict[str, bytes]) -> str:
        """Make `files` the main branch of a repository; returns the commit, which follows from the
        content.
        """
        digests = {
            name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())
        }
        commit = hashlib.sha1(json.dumps([repo_id, digests]).encode()).hexdigest()
        self.repositories[repo_id] = files
        self.commits.setdefault(repo_id, {})[commit] = dict(files)
        self.heads[repo_id] = commit
        return commit

    def at(self, repo_id: str, revision: str) -> str | None:
        """The commit that a revision names; None if there is none."""
        named = {"main": self.heads.get(repo_id), **self.tags.get(repo_id, {})}.get(
            revision, revision
        )
        return named if named in self.commits.get(repo_id, {}) else None


def use(hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub talk to this hub, as HF_ENDPOINT, HF_TOKEN and HF_HUB_CACHE would."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
        yield hub
        hub.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append(body)
        return body

    def _answer(self, answer: dict[str, Any], status: int = 200) -> None:
        data = json.dumps({} if self.server.saying_nothing else answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refused(self, owner: str) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid username or password."}, 401)
        elif owner != OWNER:
            self._answer(
                {
                    "error": "You don't have the rights to create a model under the namespace "
                    f"{owner}"
                },
                403,
            )
        elif self.server.failing:
            self._answer(
                {"error": "Internal Error - We're working hard to fix this as soon as possible!"},
                500,
            )
        else:
            return False
        return True

    def do_POST(self) -> None:
        body, parts = self._body(), self.path.strip("/").split("/")
        if self.path == "/api/repos/create":
            order = json.loads(body)
            if not self._refused(order["organization"]):
                repo_id = f"{order['organization']}/{order['name']}"
                self.server.repositories.setdefault(repo_id, {})
                self._answer({"url": f"{self.server.url}/{repo_id}", "name": repo_id})
        elif self.path == "/api/validate-yaml":
            metadata = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            self._answer(
                {"errors": [], "warnings": []}
                if metadata.get("license")
                else {"errors": [{"message": "?"}]}
            )
        elif "/preupload/" in self.path and not self._refused(parts[2]):
            paths = [file["path"] for file in json.loads(body)["files"]]
            self._answer({"files": [self._upload_mode(path) for path in paths]})
        elif self.path.endswith("/info/lfs/objects/batch") and not self._refused(parts[0]):
            objects = json.loads(body)["objects"]
            self._answer(
                {
                    "transfer": "basic",
                    "objects": [o | self._upload_action(o["oid"]) for o in objects],
                }
            )
        elif "/commit/" in self.path and not self._refused(parts[2]):
            self._commit(f"{parts[2]}/{parts[3]}", body)

    def _upload_mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _upload_action(self, oid: str) -> dict[str, Any]:
        return {"actions": {"upload": {"href": f"{self.server.url}/lfs/{oid}"}}}

    def _commit(self, repo_id: str, body: bytes) -> None:
        files = dict(self.server.repositories[repo_id])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
                assert len(files[value["path"]]) == value["size"]
        oid = self.server.commit(repo_id, files)
        self._answer(
            {
                "success": True,
                "commitOid": oid,
                "commitUrl": f"{self.server.url}/{repo_id}/commit/{oid}",
            }
        )

    def do_PUT(self) -> None:
        body, oid = self._body(), self.path.rsplit("/", 1)[1]
        matches = hashlib.sha256(body).hexdigest() == oid
        if matches:
            self.server.blobs[oid] = body
        self._answer({}, 200 if matches and not self.server.losing_blobs else 400)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        parts = path.removeprefix("/api/models").strip("/").split("/")
        repo_id, what = "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""
        commit = self.server.at(repo_id, parts[3] if what else "main")
        if self.server.failing:
            self._send(b"", {}, 500)
        elif repo_id not in self.server.repositories:
            self._send(b"", {"X-Error-Code": "RepoNotFound"}, 404)
        elif repo_id in self.server.gated:
            self._send(b"", {"X-Error-Code": "GatedRepo"}, 403)
        elif commit is None:
            self._send(b"", {"X-Error-Code": "RevisionNotFound"}, 404)
        elif what == "resolve":
            self._file(repo_id, commit, "/".join(parts[4:]))
        elif what == "tree":
            self._send(json.dumps(self._tree(self.server.commits[repo_id][commit])).encode(), {})
        else:
            self._answer({"id": repo_id, "sha": commit, "siblings": []})

    def _tree(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        return [
            {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": hashlib.sha1(content).hexdigest(),
            }
            for name, content in files.items()
        ]

    def _file(self, repo_id: str, commit: str, name: str) -> None:
        content, headers = self.server.commits[repo_id][commit].get(name), {"X-Repo-Commit": commit}
        if content is None:
            self._send(b"", headers | {"X-Error-Code": "EntryNotFound"}, 404)
            return
        lfs = self._upload_mode(name)["uploadMode"] == "lfs"
        etag = (hashlib.sha256 if lfs else hashlib.sha1)(content).hexdigest()
        self._send(content, headers | {"ETag": f'"{etag}"'})

    def _send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
