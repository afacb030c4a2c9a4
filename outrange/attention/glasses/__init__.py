"""Transformers need glasses! (arXiv 2406.04267): where a model loses its input."""
