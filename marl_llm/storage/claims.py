"""Who plays which episode, where several machines collect into one run.

An episode is claimed by creating an object; each machine also counts up an object of its own while
it is at work. One whose count stands still is taken to be lost, and others take over its claims. No
clocks are compared. Claims only save work: should two machines play the same episode, the first to
publish it wins.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from marl_llm.core.errors import UserError
from marl_llm.storage.objects import Objects

logger = logging.getLogger(__name__)
_BEATS = 6
"""Signs of life in the time after which a machine without one is lost."""


@dataclass(frozen=True)
class Claimant:
    """Who claimed an episode: the name of a working copy, and its host for people."""

    machine: str
    host: str


class Claims:
    """Claims on the episodes of one iteration.

    Parameters
    ----------
    objects : Objects
    folder : str
        Of the iteration.
    machine : str
        Name of this working copy.
    lost_after_s : float
        Seconds without a sign of life after which another machine is lost.
    """

    def __init__(self, objects: Objects, folder: str, machine: str, lost_after_s: float) -> None:
        self._objects, self._folder = objects, f"claims/{folder}"
        self._me, self._lost_after_s = Claimant(machine, socket.gethostname()), lost_after_s
        self._seen: dict[str, tuple[bytes, float]] = {}

    def take(self, episode: str) -> bool:
        """Claim an episode; False if another machine has it."""
        if self._objects.create(self._name(episode), self._content()):
            return True
        return self.claimants([episode]).get(episode) == self._me

    def claimants(self, episodes: Collection[str]) -> dict[str, Claimant]:
        """Who has claimed what, of these episodes; what nobody has claimed is left out."""
        found = self._objects.read([self._name(episode) for episode in episodes])
        return {
            episode: _claimant(found[self._name(episode)])
            for episode in episodes
            if self._name(episode) in found
        }

    def free(self, episodes: Collection[str]) -> list[str]:
        """Those of the episodes that this machine has claimed or may claim."""
        claimed = self.claimants(episodes)
        return [episode for episode in episodes if claimed.get(episode, self._me) == self._me]

    def take_over(self, episodes: Collection[str]) -> list[str]:
        """Claim those of the episodes whose machine has shown no sign of life for too long since it
        was first asked for here.
        """
        now, lost = time.monotonic(), []
        claimed = {e: who for e, who in self.claimants(episodes).items() if who != self._me}
        beats = self._objects.read(sorted({_beat(who.machine) for who in claimed.values()}))
        for machine in {who.machine for who in claimed.values()}:
            beat = beats.get(_beat(machine), b"")
            last, since = self._seen.get(machine, (None, now))
            self._seen[machine] = (beat, since if beat == last else now)
        for episode, who in claimed.items():
            if now - self._seen[who.machine][1] >= self._lost_after_s:
                self._objects.write(self._name(episode), self._content())
                lost.append(episode)
                logger.warning(
                    "%s is played again here: %s, which had it, shows no sign of life.",
                    episode,
                    who.host or "a machine",
                )
        return lost

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Show signs of life until the block ends."""
        ended = threading.Event()
        beating = threading.Thread(target=self._beat_until, args=(ended,), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def _beat_until(self, ended: threading.Event) -> None:
        while True:
            try:
                self._objects.write(_beat(self._me.machine), str(time.time_ns()).encode())
            except UserError as error:  # the work itself says what is wrong, if it lasts
                logger.warning("no sign of life could be given: %s", error)
            if ended.wait(self._lost_after_s / _BEATS):
                return

    def _name(self, episode: str) -> str:
        return f"{self._folder}/{episode}.json"

    def _content(self) -> bytes:
        return json.dumps({"machine": self._me.machine, "host": self._me.host}).encode()


def _beat(machine: str) -> str:
    return f"alive/{machine}"


def _claimant(content: bytes) -> Claimant:
    """Of a claim; a nameless one for what was cut short, who is soon taken to be lost."""
    try:
        found = json.loads(content)
        return Claimant(str(found["machine"]), str(found["host"]))
    except (ValueError, TypeError, KeyError):
        return Claimant("", "")
