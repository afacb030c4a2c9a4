"""outrange: a PyTorch workbench for systems that must work beyond what they were trained on.

Importing this package loads nothing heavy; each room is imported by its own name, e.g. ``from outrange.reasoning import
clrs, text``.
"""

__version__ = "0.6.2"
