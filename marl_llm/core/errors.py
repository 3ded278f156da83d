"""The one exception that a person is meant to read: a sentence saying what is wrong, where, and
what to do about it.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake or a circumstance the user can mend. The command line prints it and exits with
    `exit_code`.
    """

    exit_code: int = 2


class RunFailed(UserError):
    """Something outside the user's input went wrong (a server died, a disk filled up). Nothing
    collected is lost.
    """

    exit_code = 1
