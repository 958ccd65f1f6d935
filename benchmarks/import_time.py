"""CPU time of `import kerasish` against `import torch`, in fresh interpreters, one after the other.

Run: python benchmarks/import_time.py [rounds]. The goal is a ratio of at most 1.08.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = "import time; import {module}; print(time.process_time())"


def cpu_seconds(module: str) -> float:
    """CPU seconds of a fresh interpreter, its start included, until a module is imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout)


def main(rounds: int = 15) -> None:
    """Print the median times and the median of the ratios of neighbouring runs."""
    compileall.compile_dir(ROOT / "kerasish", quiet=1)
    cpu_seconds("kerasish")  # warms the disk cache for both
    # Neighbours share the machine's mood, so each round gives a ratio of its own.
    pairs = [(cpu_seconds("torch"), cpu_seconds("kerasish")) for _ in range(rounds)]
    torch_time, our_time = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    print(f"import torch     {torch_time:.3f} s CPU (median of {rounds})")
    print(f"import kerasish  {our_time:.3f} s CPU")
    print(f"ratio            {ratio:.3f} (goal: at most 1.08)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
