"""Everything that runs on a device of its own runs there alone: no tensor of the CPU's meets it, and nothing changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("options", [[], ["--without-float64"]], ids=["as wide", "without float64"])
def test_a_model_on_a_separate_device_gives_the_same_numbers(options: list[str]) -> None:
    script = Path(__file__).with_name("separate_device.py")
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    apart = json.loads(done.stdout)
    assert len(apart) > 20
    assert {name: by for name, by in apart.items() if not by <= 1e-6} == {}
