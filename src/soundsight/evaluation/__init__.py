"""Metrics as pure functions, and the protocols that report them."""
