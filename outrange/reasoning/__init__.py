"""Reasoning: algorithms as traces (``clrs``), as text (``text``)."""
