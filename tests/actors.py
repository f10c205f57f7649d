"""Processes of Ray's that are workers of ours."""

import os
import subprocess


def actors() -> list[int]:
    """Process ids of all on this machine, those of other tests that run now included."""
    return [pid for pid, (_, args) in _processes().items() if "ray::PoolWorker" in args]


def own_actors() -> list[int]:
    """Of those of a cluster that this process started, whose nodes are its children."""
    found, mine = _processes(), {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in mine} - mine:
        mine |= more
    return [pid for pid in actors() if pid in mine]


def _processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of each."""
    lines = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in lines.splitlines()[1:]]
    return {int(row[0]): (int(row[1]), row[2] if len(row) > 2 else "") for row in rows}
