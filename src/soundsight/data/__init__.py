"""Data sets: a folder or a generator of clips."""
