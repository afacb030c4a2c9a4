"""Round and Round We Go! (arXiv 2410.06205): how a model uses its rotary frequencies."""
