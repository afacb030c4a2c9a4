"""What every part of the package stands on: configurations, runs, checkpoints, logs, seeds, errors.

Nothing here imports another part of it.
"""
