"""A model server that answers as a test tells it: raw bytes over a real socket, since no real
server can be made to send them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Send = Callable[[bytes], None]
Answer = Callable[[Send], None]
"""Sends a whole HTTP answer; its connection is closed then."""


def completion(**changed: object) -> dict[str, Any]:
    """A usable answer of three prompt tokens and two of completion, with parts of the choice
    changed; what is `...` goes.
    """
    tokens = [{"token": "x", "logprob": value} for value in (-0.5, -0.25)]
    choice: dict[str, Any] = {
        "token_ids": [5, 2],
        "logprobs": {"content": tokens},
        "message": {"content": "hi"},
        "finish_reason": "stop",
    }
    choice = {name: value for name, value in (choice | changed).items() if value is not ...}
    return {"prompt_token_ids": [1, 2, 3], "choices": [choice]}


def says(body: object, status: int = 200, *, headers: str = "") -> Answer:
    """An answer whose body is this text, or this content as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return lambda send: send(head.encode() + content)


def endless(send: Send) -> None:
    """A body without an end, as fast as it is taken."""
    send(b"HTTP/1.1 200 -\r\n\r\n")
    while True:
        send(b" " * 65536)


def dripping(send: Send) -> None:
    """A byte of a body every twentieth of a second, without an end."""
    send(b"HTTP/1.1 200 -\r\n\r\n")
    while True:
        send(b" ")
        time.sleep(0.05)


def hanging_up(send: Send) -> None:
    """The connection is lost before anything is said."""


@dataclass
class Faulty:
    """A server that answers completions with `answers`, in turn and the last of them for ever.

    Attributes
    ----------
    others : dict of str to Answer
        For further paths.
    asked : list of str
        Paths asked for.
    sent : int
        Bytes sent.
    """

    answers: Sequence[Answer]
    others: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def completions(self) -> int:
        return self.asked.count("/v1/chat/completions")

    def answer(self, connection: socket.socket) -> None:
        def send(content: bytes) -> None:
            connection.sendall(content)
            self.sent += len(content)

        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            path = head.split()[1].decode()
            self.asked.append(path)
            if path == "/v1/chat/completions":
                self.answers[min(self.completions, len(self.answers)) - 1](send)
            else:
                self.others.get(path, says({}, 404))(send)


@contextmanager
def serving(faulty: Faulty) -> Iterator[Faulty]:
    """The server, up until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        faulty.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=faulty.answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield faulty
        listener.shutdown(socket.SHUT_RDWR)
