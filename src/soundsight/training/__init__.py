"""The trainer, its optimizers, its checkpoints and its logs."""
