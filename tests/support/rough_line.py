"""A line between two machines that is slow, late and cut: SECONDS DELAY RATE COMMAND ...

Leads bytes to and from a command. Ends SECONDS after the first byte (0: never), as if it were cut. Each byte
comes DELAY seconds later, and no more than RATE megabytes a second pass (0: any).
"""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import threading
import time

begun = threading.Event()


def lead(source: int, goal: int, delay: float, rate: float) -> None:
    """Lead bytes from one descriptor to another."""
    late: collections.deque[tuple[float, bytes]] = collections.deque()
    ready = threading.Condition()

    def write() -> None:
        while True:
            with ready:
                while not late:
                    ready.wait()
                due, chunk = late.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            if not chunk:
                os._exit(0)
            try:
                while chunk:
                    chunk = chunk[os.write(goal, chunk) :]
            except OSError:
                os._exit(0)

    threading.Thread(target=write, daemon=True).start()
    free = time.monotonic()
    while True:
        try:
            chunk = os.read(source, 2**16)
        except OSError:
            chunk = b""
        begun.set()
        free = max(free, time.monotonic()) + (len(chunk) / (rate * 1e6) if rate else 0)
        with ready:
            late.append((free + delay, chunk))
            ready.notify()
        if not chunk:
            return
        time.sleep(max(0.0, free - time.monotonic() - 0.05))


def main() -> None:
    seconds, delay, rate = (float(value) for value in sys.argv[1:4])
    process = subprocess.Popen(
        sys.argv[4:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    for source, goal in ((0, process.stdin.fileno()), (process.stdout.fileno(), 1)):
        threading.Thread(target=lead, args=(source, goal, delay, rate), daemon=True).start()
    if seconds:
        begun.wait()
        time.sleep(seconds)
    else:
        threading.Event().wait()
    os.killpg(process.pid, signal.SIGKILL)
    os._exit(255)


if __name__ == "__main__":
    main()
