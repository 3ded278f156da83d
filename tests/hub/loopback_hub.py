"""A stand-in for the Hugging Face Hub on this machine, over real HTTP: the routes of one model upload (create, LFS,
commit) with tokens, permissions and checksums. It keeps every byte it was sent. The project's only fake."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "a-token-that-may-write"
OWNER = "ada"


class LoopbackHub(ThreadingHTTPServer):
    """Accepts TOKEN for OWNER's repositories. `repositories`: {repo_id: {path: bytes}}; `received`: every body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.received: list[bytes] = []
        self.failing = self.losing_blobs = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


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
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refused(self, owner: str) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid username or password."}, 401)
        elif owner != OWNER:
            self._answer({"error": f"You don't have the rights to create a model under the namespace {owner}"}, 403)
        elif self.server.failing:
            self._answer({"error": "Internal Error - We're working hard to fix this as soon as possible!"}, 500)
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
            self._answer({"errors": [], "warnings": []} if metadata.get("license") else {"errors": [{"message": "?"}]})
        elif "/preupload/" in self.path and not self._refused(parts[2]):
            paths = [file["path"] for file in json.loads(body)["files"]]
            self._answer({"files": [self._upload_mode(path) for path in paths]})
        elif self.path.endswith("/info/lfs/objects/batch") and not self._refused(parts[0]):
            objects = json.loads(body)["objects"]
            self._answer({"transfer": "basic", "objects": [o | self._upload_action(o["oid"]) for o in objects]})
        elif "/commit/" in self.path and not self._refused(parts[2]):
            self._commit(f"{parts[2]}/{parts[3]}", body)

    def _upload_mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _upload_action(self, oid: str) -> dict[str, Any]:
        return {"actions": {"upload": {"href": f"{self.server.url}/lfs/{oid}"}}}

    def _commit(self, repo_id: str, body: bytes) -> None:
        files = self.server.repositories[repo_id]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
                assert len(files[value["path"]]) == value["size"]
        oid = "a" * 40
        self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{repo_id}/commit/{oid}"})

    def do_PUT(self) -> None:
        body, oid = self._body(), self.path.rsplit("/", 1)[1]
        matches = hashlib.sha256(body).hexdigest() == oid
        if matches:
            self.server.blobs[oid] = body
        self._answer({}, 200 if matches and not self.server.losing_blobs else 400)

    def do_GET(self) -> None:
        repo_id = self.path.removeprefix("/api/models/")
        self._answer(
            {"id": repo_id, "sha": "a" * 40, "siblings": []} if repo_id in self.server.repositories else {}, 404
        )
