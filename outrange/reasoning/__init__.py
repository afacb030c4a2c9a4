"""Reasoning: algorithms as execution traces (``clrs``), as text (``text``), and learned by graph networks (``nar``).

``check`` is the contract that every algorithm keeps, ``bench`` measures against the published package. Nothing is
imported until it is asked for by its own name, e.g. ``from outrange.reasoning import clrs``.
"""
