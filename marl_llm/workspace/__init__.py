"""A run on disk and at work: the processes that train for it."""
