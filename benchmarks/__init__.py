"""Measured speed; `python -m benchmarks` prints the table."""
