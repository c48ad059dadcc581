"""Work on several cores, in real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, time
from shiftmcu.train.workers import on_cores

def say(word):
    print(word, flush=True)

def work(job):
    time.sleep(float(sys.argv[1]))
    return job * job

if __name__ == "__main__":
    print(*on_cores(work, range(40), 2, say, ("ready",)))
"""


def script(folder: Path, seconds: str) -> subprocess.Popen[str]:
    path = folder / "many.py"
    path.write_text(SCRIPT)
    command = [sys.executable, str(path), seconds]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_results_come_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    said, _ = script(tmp_path, "0").communicate(timeout=60)
    assert said.splitlines()[-1].split() == [str(k * k) for k in range(40)]


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = script(tmp_path, "600")
    assert parent.stdout is not None
    assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    parent.kill()
    parent.communicate(timeout=30)  # they hold its output: it closes when the last has gone
