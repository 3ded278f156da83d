"""`python -m marl_llm.cli`."""

import sys

from marl_llm.cli import main

sys.exit(main())
