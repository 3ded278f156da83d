"""The experiment: several ways of training, each with several seeds, compared on the same unseen
tasks.

`config` reads what is to be compared, `layout` says where things lie, `jobs` what is left to do,
`points` evaluates, `worker` does one job in a process of its own, `runner` runs the jobs.
"""

from __future__ import annotations
