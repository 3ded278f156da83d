from __future__ import annotations

import tests.fixtures  # noqa: F401  the hypothesis profile
