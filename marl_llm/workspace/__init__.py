"""A run on disk and at work: its recipe, its directory, opening it, and the processes that train
for it.
"""
