"""The command line of a study: long work that is kept piece by piece, and prints a table in the
end.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

from marl_llm.core.errors import UserError

logger = logging.getLogger(__name__)


def run_study(study: Callable[[], str]) -> int:
    """Run it with progress on stderr, print its table, and return the exit code: 130 after Ctrl-C,
    and that of an error a person is meant to read, which is logged.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        table = study()
    except UserError as error:
        logger.error("%s", error)
        return error.exit_code
    except KeyboardInterrupt:
        logger.warning("Interrupted; the same command goes on from here.")
        return 130
    sys.stdout.write(table + "\n")
    return 0
