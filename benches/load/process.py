"""Processes of the bench: started on a core, measured from /proc, and ended by their ids, whatever happens."""

import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
HOST = "bench.test"
# The highest priority: a server's p99 is not to be another program's turn on its core.
NICE = -20


class Failed(Exception):
    """What makes the bench's figures worthless; the message says what."""


class Processes:
    """All that were started; ends them in the reverse order."""

    def __init__(self):
        self.running = []

    def start(self, command, core, log, **options):
        """Starts a command on a core, before all that is not the bench's, where the system lets it. If this script is
        killed, it gets a SIGTERM from the kernel."""
        tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        tied += ["nice", "-n", str(NICE)] if os.geteuid() == 0 else []
        pinned = tied + ["taskset", "-c", str(core)] + [str(part) for part in command]
        with open(log, "ab") as output:
            process = subprocess.Popen(
                pinned, stdin=options.get("stdin", subprocess.DEVNULL), stdout=options.get("stdout", output),
                stderr=output, start_new_session=True, text=True,
            )
        if os.geteuid() == 0:
            prefer(process.pid)
        process.log = log
        self.running.append(process)
        return process

    def end(self, process):
        if process in self.running:
            self.running.remove(process)
        for ask, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if process.poll() is None:
                process.send_signal(ask)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def end_all(self):
        for process in reversed(list(self.running)):
            self.end(process)


def prefer(pid):
    """The kernel may weigh sessions before it weighs the processes in them: autogroups."""
    try:
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
    except OSError:
        pass  # It has none.


def family(pid):
    """A process and its descendants."""
    children = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # It has ended meanwhile.
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def cpu(pid):
    """User and system seconds so far of a process and its descendants, by id."""
    seconds = {}
    for member in family(pid):
        try:
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # It has ended meanwhile, as nginx's loader of its store does.
        seconds[member] = (int(fields[11]) + int(fields[12])) * TICK_SECONDS
    return seconds


def cpu_since(before, pid):
    """Seconds since then, of those that run still."""
    return sum(seconds - before.get(member, 0) for member, seconds in cpu(pid).items())


def resident_bytes(pid):
    """What a process takes: its resident set, and what it has in memory files, which are in no resident set."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES + file_bytes(pid)


def file_bytes(pid):
    """What Freshet's memory file takes; 0 for whoever has none."""
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(link).startswith("/memfd:freshet"):
                return link.stat().st_blocks * 512
        except OSError:
            continue  # It was closed meanwhile.
    return 0


def available_bytes():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def free_port():
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path, timeout=20):
    """(status, fields, body) of one GET; fields by their lower-case name, as a list of pairs too."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": HOST})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, [(name.lower(), value) for name, value in answer.getheaders()], body
    finally:
        connection.close()


def wait_until_answers(process, port, path, seconds=30):
    """Until a GET is answered by 200; how long that took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if process.poll() is not None:
            break
        try:
            if get(port, path)[0] == 200:
                return time.monotonic() - start
        except OSError:
            pass
        time.sleep(0.002)
    tail = pathlib.Path(process.log).read_text(errors="replace")[-2000:]
    raise Failed(f"{' '.join(map(str, process.args))}: no answer on port {port}\n{tail}")
