"""Shared floor: pages that need no network, made from plain data. Nothing here knows which pillar the data came from, and nothing heavy is imported."""
