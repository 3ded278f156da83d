"""The stages of a run, in the order data takes: one file a stage."""
