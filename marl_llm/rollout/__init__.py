"""Collecting: turns, the tree of an episode, many episodes at once, and the rows they leave."""
