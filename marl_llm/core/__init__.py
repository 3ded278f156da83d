"""What every other room may use: names, errors, and facts of the machine and of models on disk."""
