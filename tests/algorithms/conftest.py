"""The tiny pair and its rows, as the engine's tests have them."""

from tests.training.conftest import base_dir, load, logged, sample, tiny

__all__ = ["base_dir", "load", "logged", "sample", "tiny"]
