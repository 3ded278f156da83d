"""What an arm costs on one trial: CPU seconds and wall seconds, both as the trial alone would be
charged.

*CPU* is user and system time of every process that worked for the arm on the trial, as well as it
can be known where many trials share one pool:

- each fit in the sandbox as the kernel measured its process (one core each); a fit answered by the
  evaluation cache counts as when it was run, and once however often it was asked for;
- of a team's episode besides these its share of what this process and the model server used
  meanwhile, divided equally among the episodes under way (`marl_llm.rollout.meter`), and the whole
  of the server's start, which everybody pays who plays alone. The CPU of a server that was attached
  to (`--server`) cannot be seen and is missing;
- of FLAML the whole of its process.

Of a fixed solution that is the fits on the folds, for the hold-out, and the final one; of a team
the episode and the final fit. Loading the CSV for a fixed arm, scoring, and the paired test are the
comparison's and count for nobody.

*Wall* is the time of the same from start to end, without waiting for a free slot; of an episode
from its first to its last step, in which it shares slots and server with those beside it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU and on the wall clock."""

    cpu_s: float
    wall_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)
