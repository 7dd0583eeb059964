"""One server's turn: load for some seconds, and what it cost; and the checks that make a turn count."""

import hashlib
import json
import pathlib
import subprocess
import sys

import process
from process import Failed

WRK_LUA = pathlib.Path(__file__).with_name("wrk.lua")
KIB = 1 << 10


def template(size, kind="photos"):
    return f"/{size}/{kind}/{{}}.jpg?tr=w-300,h-200,q-80"


class Turns:
    """Runs turns for a bench; all load comes from the load's core."""

    def __init__(self, bench):
        self.bench = bench

    def origin_count(self):
        return int(process.get(self.bench.origin_port, "/count")[2])

    def wrk(self, server, variant, size, connections, keys, seconds, prefix="photos"):
        """As many hits as the server gives."""
        path = template(size, prefix)
        url = f"http://127.0.0.1:{server.ports[variant]}" + path.replace("{}", "0")
        command = [
            "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-H", f"Host: {process.HOST}",
            "-s", WRK_LUA, url, "--", path, keys,
        ]
        before, asked = process.cpu(server.pid), self.origin_count()
        figures = json.loads(self.run(command).splitlines()[-1])
        cpu = process.cpu_since(before, server.pid)
        if figures["requests"] == 0:
            raise Failed(f"{variant}: no answer in {seconds} s")
        if figures["errors"] or figures["bytes"] < figures["requests"] * size:
            raise Failed(f"{variant}: {figures}")
        asked = self.origin_count() - asked
        if asked:
            raise Failed(f"{variant}: {asked} of {figures['requests']} were no hits: the origin was asked")
        figures["rate"] = figures["requests"] / figures["seconds"]
        return self._with_cpu(figures, cpu)

    def drive(self, server, variant, size, connections, **plan):
        """What the plan says; every byte of every answer is compared with the origin's."""
        path = plan.pop("template", template(size))
        options = {"to": f"127.0.0.1:{server.ports[variant]}", "connections": connections, "template": path, **plan}
        before, asked = process.cpu(server.pid), self.origin_count()
        figures = json.loads(self.run([self.bench.tools, "drive", *flags(options)]))
        cpu = process.cpu_since(before, server.pid)
        if figures["errors"] or not figures["requests"]:
            raise Failed(f"{variant}: {figures}")
        figures["asked_of_origin"] = self.origin_count() - asked
        return self._with_cpu(figures, cpu)

    def hold(self, server, variant, connections):
        """Connections that have had one answer each, and stay; the process that holds them."""
        options = {
            "to": f"127.0.0.1:{server.ports[variant]}", "connections": connections, "requests": connections,
            "template": template(KIB), "order": "one", "hold": True,
        }
        holder = self.bench.processes.start(
            [self.bench.tools, "drive", *flags(options)], self.bench.load_core, self.bench.folder / "hold.log",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        figures = json.loads(holder.stdout.readline() or "{}")
        if figures.get("requests") != connections:
            raise Failed(f"{connections} connections could not be held: {figures}")
        return holder

    def crowd(self, server, variant, count, path):
        """Slow clients, connected; the process that holds them."""
        command = [sys.executable, pathlib.Path(__file__).with_name("crowd.py"), process.HOST, server.ports[variant]]
        holder = self.bench.processes.start(
            [*command, count, path], self.bench.load_core, self.bench.folder / "crowd.log",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        if holder.stdout.readline().strip() != "ready":
            raise Failed(f"{count} slow clients could not be connected")
        return holder

    def fill(self, server, size, keys, variant=None, **plan):
        """Asks for each of the keys once."""
        variant = variant or next(iter(server.ports))
        return self.drive(server, variant, size, 16, keys=keys, requests=keys, order="sequence", **plan)

    def check_hits(self, server, size):
        """Each variant gives the origin's bytes, from its store, and says so."""
        path = template(size).replace("{}", "0")
        wanted = hashlib.sha256(process.get(self.bench.origin_port, path)[2]).hexdigest()
        process.get(server.check_port, path)  # The fetch.
        for port in [server.check_port, *server.ports.values()]:
            for _ in range(3):  # nginx begins to share an opened file with the second.
                status, fields, body = process.get(port, path)
            if status != 200 or hashlib.sha256(body).hexdigest() != wanted:
                raise Failed(f"{type(server).__name__}: other bytes than the origin's for {path} ({status})")
            if port == server.check_port and not server.hit(dict(fields)):
                raise Failed(f"{type(server).__name__}: {path} was no hit: {fields}")
        return len(process.get(next(iter(server.ports.values())), path)[1])

    def run(self, command, core=None):
        """A command's output; it runs on the load's core if none is named, and ends with this script."""
        client = self.bench.processes.start(
            command, self.bench.load_core if core is None else core, self.bench.folder / "client.log", stdout=subprocess.PIPE
        )
        try:
            output = client.stdout.read()
            if client.wait(30):
                tail = pathlib.Path(client.log).read_text(errors="replace")[-2000:]
                raise Failed(f"{' '.join(map(str, command))}: {output}\n{tail}")
            return output
        finally:
            self.bench.processes.end(client)

    @staticmethod
    def _with_cpu(figures, cpu):
        figures["cpu_us"] = cpu * 1e6 / figures["requests"]
        return figures


def flags(options):
    """As the tools' command line has them."""
    given = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        given += [flag] if value is True else [flag, str(value)]
    return given
