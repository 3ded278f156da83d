"""Prompts in plain words, with examples generated from the typed actions: for models never trained
on our grammar.
"""
