"""The scripts in reproduce/ import each other by name, as they do when run; so do their tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "reproduce"))
