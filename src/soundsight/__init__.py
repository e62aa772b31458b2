"""Soundsight: generate what is seen from what is heard, what is heard from what is seen, and both.

The road through the package, one layer a step: `media` (files and signals) makes a `Clip`, `data`
batches them, a model of `models` (held to `contract`) learns from them under `training`, and
`sampling` and `evaluation` use what it learned. `recipes` names whole experiments.
"""

__version__ = "0.1.0"
