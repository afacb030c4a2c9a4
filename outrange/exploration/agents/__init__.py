"""Agents: what learns (`r2d2`), and what it becomes with an intrinsic reward (`ngu`)."""
