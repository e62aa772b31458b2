"""Blocks that several papers use."""
