"""A worker with all its processes: how it is started and ended, and what it uses."""

import os
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Worker:
    """A program and everything that it starts; its output goes to a file."""

    def __init__(self, command, folder, environment, log):
        self.log = log
        with open(log, "w") as output:
            self.process = subprocess.Popen([str(word) for word in command], cwd=folder,
                                            env=environment, stdout=output,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def await_line(self, text, seconds=60):
        until = time.monotonic() + seconds
        while text not in self.log.read_text():
            if time.monotonic() > until or self.is_gone():
                raise SystemExit(f"bench/peers: waited in vain for '{text}':\n{self.last_words()}")
            time.sleep(0.05)

    def is_gone(self):
        return self.process.poll() is not None

    def last_words(self):
        return "\n".join(self.log.read_text().splitlines()[-20:])

    def time(self):
        return tree_time(self.process.pid)

    def peak_memory(self):
        """The sum of what was ever resident of each process, and of the proportional share now."""
        peak = share = 0
        for process in tree(self.process.pid):
            peak += kibibytes(f"/proc/{process}/status", "VmHWM:")
            share += kibibytes(f"/proc/{process}/smaps_rollup", "Pss:")
        return peak, share


def tree(root):
    """The process and all that come from it."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = stat(folder.name)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, pending = [], [root]
    while pending:
        process = pending.pop()
        found.append(process)
        pending += children.get(process, [])
    return found


def tree_time(root):
    """Seconds of processor time: of what runs, and of what has ended and was waited for."""
    total = 0
    for process in tree(root):
        fields = stat(process)
        if fields:
            total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def stat(process):
    """The fields of /proc/PID/stat behind the name, which may hold blanks; none if it has gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return text.rsplit(")", 1)[1].split()


def kibibytes(file, name):
    try:
        for line in Path(file).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
