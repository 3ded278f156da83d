"""Several model servers behind one client: the real server under two addresses, one of which is
lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from marl_llm.core.roles import DATA_SCIENTIST
from marl_llm.rollout.session import client_of
from marl_llm.serving import ChatClient, ModelServer
from marl_llm.serving.balanced import BalancedClient
from marl_llm.serving.errors import ServerDied

ANSWERS = 8


def question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"question {number}"}]


def clients(count: int, sequences: int = 8) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(server=SimpleNamespace(url=f"http://gpu{i}:8000", max_num_seqs=sequences))
        for i in range(count)
    ]


def test_one_beginning_goes_to_one_server_and_many_are_spread():
    balanced = BalancedClient(clients(4))  # pyright: ignore[reportArgumentType]
    places = [balanced._chosen("ds-v1", question(i)).server.url for i in range(400)]
    longer = [balanced._chosen("ds-v1", [*question(0), *question(1), *question(i)]) for i in (2, 3)]
    assert longer[0] is longer[1]
    assert places == [balanced._chosen("ds-v1", question(i)).server.url for i in range(400)]
    assert all(70 <= count <= 130 for count in Counter(places).values())


def test_few_questions_move_when_a_server_is_gone():
    all_of_them = clients(4)
    before, after = BalancedClient(all_of_them), BalancedClient(all_of_them[:3])  # pyright: ignore[reportArgumentType]
    moved = [
        i
        for i in range(400)
        if before._chosen("m", question(i)) is not after._chosen("m", question(i))
    ]
    assert all(before._chosen("m", question(i)) is all_of_them[3] for i in moved)


def test_a_busy_server_is_not_waited_for():
    balanced = BalancedClient(clients(2, sequences=8))  # pyright: ignore[reportArgumentType]
    favourite = balanced._chosen("m", question(0))
    balanced._open[id(favourite)] = 2  # a quarter of what it decodes at once
    assert balanced._chosen("m", question(0)) is favourite
    balanced._open[id(favourite)] = 3
    assert balanced._chosen("m", question(0)) is not favourite


class Door:
    """A second address of a server, which can be shut."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self.requests = 0

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers += [writer, back]
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.requests += data.count(b"POST /v1/chat/completions")
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    def shut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()


@pytest.mark.vllm
def test_a_lost_server_is_left_out_and_its_work_done_by_the_other(
    tiny_server: ModelServer, tiny_adapters, caplog
):
    name = "balanced-v0"

    async def run() -> tuple[list[str], list[str], int]:
        door = Door(tiny_server.url)
        url = await door.open()
        servers = [
            await asyncio.to_thread(ModelServer.attach, each) for each in (tiny_server.url, url)
        ]
        async with client_of(servers, 60.0) as client:
            await client.load_adapter(name, tiny_adapters[DATA_SCIENTIST])

            async def ask_all() -> list[str]:
                asked = [
                    client.sample(name, question(i), max_tokens=8, seed=i) for i in range(ANSWERS)
                ]
                return [one.text for one in await asyncio.gather(*asked)]

            first = await ask_all()
            counters = await client.counters()
            assert counters is not None and counters.answered >= 2 * ANSWERS
            requests = door.requests
            door.shut()
            return first, await ask_all(), requests

    first, second, through_the_door = asyncio.run(run())
    assert first == second
    assert 0 < through_the_door < ANSWERS
    assert "The other servers go on (1)." in caplog.text


@pytest.mark.vllm
def test_the_last_server_lost_is_an_error(tiny_server: ModelServer):
    async def run() -> None:
        doors = [Door(tiny_server.url), Door(tiny_server.url)]
        urls = [await door.open() for door in doors]
        servers = [await asyncio.to_thread(ModelServer.attach, url) for url in urls]
        async with client_of(servers, 60.0) as client:
            for door in doors:
                door.shut()
            await client.sample("base", question(0), max_tokens=4)

    with pytest.raises(ServerDied, match="no longer answers"):
        asyncio.run(run())


def test_one_server_needs_no_balance(tiny_server: ModelServer):
    assert isinstance(client_of([tiny_server], 60.0), ChatClient)
