"""Rows of a task divided into disjoint parts and folds: at random, by group or by time; copies stay
together.
"""
