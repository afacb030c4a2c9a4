"""outrange: a PyTorch workbench for systems that must work beyond what they were trained on.

Importing this package loads nothing heavy; each part is imported by its own name, for example
``from outrange.reasoning import clrs, text``.
"""

__version__ = "0.7.0"
