"""``python -m outrange``."""

from outrange.cli import entry

if __name__ == "__main__":
    entry()
