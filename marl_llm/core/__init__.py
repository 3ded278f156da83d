"""What every other room may use: facts of the machine."""
