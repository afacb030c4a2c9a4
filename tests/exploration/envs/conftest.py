"""Tests of this folder share the environments of counting.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
