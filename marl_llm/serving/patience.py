"""How long a server may be silent before it counts as stalled: longer, the more is still to come
and the slower it was.

Pure: moments are passed in, seconds of any clock that does not go back. It sends and reads nothing.
"""

from __future__ import annotations

_MARGIN = 2.0
"""Times that what is still to come may take longer than what has come so far."""


class Patience:
    """Follows the requests of one server.

    The pace is the tokens asked for in answered requests, by the seconds in which any request
    waited. At this pace all that is asked for now is answered after `tokens still to come / pace`;
    a server silent for twice as long, and for at least `least_s`, is stalled. Every answer, and
    every other sign of work, begins the silence anew.

    Parameters
    ----------
    least_s : float
        Silence that is borne in any case, seconds.

    Attributes
    ----------
    waiting : int
        Requests not answered yet.
    """

    def __init__(self, least_s: float) -> None:
        self.least_s = least_s
        self.waiting = 0
        self._to_come = self._come = 0
        self._busy_s = self._settled = self._last_sign = 0.0

    def asked(self, tokens: int, now: float) -> None:
        """Note a request for up to `tokens` tokens."""
        self._settle(now)
        if self.waiting == 0:
            self._last_sign = now
        self.waiting += 1
        self._to_come += tokens

    def answered(self, tokens: int, now: float) -> None:
        """Note the completion of a request for up to `tokens` tokens."""
        self.given_up(tokens, now)
        self._come += tokens
        self._last_sign = now

    def given_up(self, tokens: int, now: float) -> None:
        """Note the end of a request that got no completion; says nothing about the pace."""
        self._settle(now)
        self.waiting -= 1
        self._to_come -= tokens

    def sign_of_work(self, now: float) -> None:
        """Note that the server has done something."""
        self._last_sign = now

    @property
    def limit_s(self) -> float:
        """Silence that is borne now, seconds."""
        if not self._come:
            return self.least_s
        return max(self.least_s, _MARGIN * self._to_come * self._busy_s / self._come)

    def silent_s(self, now: float) -> float:
        """Seconds since the last sign of work; 0 while nobody waits."""
        return now - self._last_sign if self.waiting else 0.0

    def spent(self, now: float) -> bool:
        """Tell whether the server counts as stalled."""
        return self.silent_s(now) > self.limit_s

    def _settle(self, now: float) -> None:
        self._busy_s += now - self._settled if self.waiting else 0.0
        self._settled = now
