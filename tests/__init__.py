"""The tests. A package of its own name: a data package that ships a top-level `tests` would shadow
it otherwise.
"""
