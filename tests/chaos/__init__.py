"""Kills at random moments: `make chaos` in full, `tests/test_chaos.py` in small."""
