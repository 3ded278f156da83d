"""Do the significance tests keep what they promise? Simulated comparisons of two models whose true
gain is known.

Seeds and settings flow in; the share of comparisons called a significant gain flows out: the
false-gain rate where the true gain is zero, the power where it is not. `python
recipes/studies/significance.py --comparisons 500` shows both. Nothing else imports this package.
"""
