"""How attention uses position: which rotary frequencies a model uses, which heads are positional, and what the theory says."""
