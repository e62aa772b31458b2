"""One file per paper, top to bottom like the paper."""
