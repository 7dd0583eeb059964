"""The servers under load: Freshet, its peers with their best settings, and a bare server over hyper.

Each takes an origin and a size of store, is one process (with its workers) on the server's core, and has one or more
variants: a port with settings of its own. `hit` tells from an answer whether it came from the store.
"""

import os
import pathlib
import resource
import shutil
import tempfile

import process

MIB = 1 << 20
CONNECTIONS_MAX = 8192
FRESHET_KEY = "private_bench_0123456789"


class Server:
    """One server. `ports` are its variants by name; `check_port` answers as they do, and says what was a hit."""

    package = None
    program = None

    def __init__(self, bench):
        self.bench = bench
        self.process = None

    @classmethod
    def is_installed(cls):
        return cls.program is None or which(cls.program) is not None

    def start(self, store_bytes, core=None):
        """Starts it and waits for its first answer; the seconds that took."""
        # On a tmpfs: what a cache writes there, its log of memory too, costs no disk.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-", dir=self.bench.shm))
        self.store_bytes = store_bytes
        self.ports = {name: process.free_port() for name in self.variants}
        self.check_port = process.free_port() if self.has_check_port else next(iter(self.ports.values()))
        command = self.command()
        core = self.bench.server_core if core is None else core
        self.process = self.bench.processes.start(command, core, self.folder / "log")
        try:
            took = process.wait_until_answers(self.process, self.check_port, "/1/started.jpg")
            for port in self.ports.values():
                process.wait_until_answers(self.process, port, "/1/started.jpg")
        except BaseException:
            self.stop()
            raise
        return took

    has_check_port = False

    def stop(self):
        if self.process:
            self.bench.processes.end(self.process)
            self.process = None
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid


class Freshet(Server):
    variants = ["Freshet"]
    threads = 1

    def command(self):
        self.admin_port = process.free_port()
        config = self.folder / "config.toml"
        # The ledger lies on the disk, as in use.
        config.write_text(f"""
[proxy]
listen = "127.0.0.1:{next(iter(self.ports.values()))}"
threads = {self.threads}
[admin]
listen = "127.0.0.1:{self.admin_port}"
[cache]
max_bytes = "{self.store_bytes}B"
[ledger]
path = "{self.bench.folder}/{self.folder.name}.redb"
[log]
level = "warn"
[[accounts]]
id = "bench"
private_keys = ["{FRESHET_KEY}"]
url_endpoints = ["http://{process.HOST}"]
origin = "http://127.0.0.1:{self.bench.origin_port}"
""")
        return [self.bench.freshet, "serve", "--config", config]

    @staticmethod
    def hit(fields):
        return "; hit" in fields.get("cache-status", "")


class TwoThreads(Freshet):
    variants = ["Freshet, two threads"]
    threads = 2


class Bare(Server):
    variants = ["bare hyper"]
    fields = 10

    def command(self):
        listen = f"127.0.0.1:{next(iter(self.ports.values()))}"
        return [self.bench.tools, "bare", "--listen", listen, "--fields", self.fields]

    @staticmethod
    def hit(_fields):
        return True  # It has no origin.


class Nginx(Server):
    """One process and one store; a port for each set of settings."""

    package = "nginx-light"
    program = "nginx"
    has_check_port = True
    # As many files as the process may have open beside its connections: three variants keep their own.
    files = min(300_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1024) // 3)
    opened = f"open_file_cache max={files} inactive=1d; open_file_cache_valid 1d; open_file_cache_min_uses 1;"
    settings = {
        "nginx, sendfile off": f"sendfile off; {opened}",
        "nginx, sendfile off, large buffers": f"sendfile off; output_buffers 1 1m; {opened}",
        "nginx, sendfile on": f"sendfile on; tcp_nopush off; {opened}",
        "nginx, Debian's defaults": "sendfile on; tcp_nopush on;",
    }
    variants = list(settings)

    def command(self):
        folder, origin = self.folder, self.bench.origin_port
        location = "location / { proxy_pass http://origin; }"
        servers = [
            f"server {{ listen 127.0.0.1:{port} backlog=1024; {self.settings[name]} {location} }}"
            for name, port in self.ports.items()
        ]
        told = "add_header X-Cache $upstream_cache_status always;"
        servers.append(f"server {{ listen 127.0.0.1:{self.check_port}; {told} {location} }}")
        temporary = " ".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"""
daemon off; {user} worker_processes 1; worker_rlimit_nofile 400000;
pid {folder}/pid; error_log {folder}/log warn;
events {{ worker_connections {CONNECTIONS_MAX}; }}
http {{
  access_log off; default_type image/jpeg; {temporary}
  keepalive_timeout 1d; keepalive_requests 1000000000; tcp_nodelay on; server_tokens off;
  proxy_cache_path {folder}/store levels=1:2 keys_zone=store:128m max_size={self.store_bytes} inactive=7d
    use_temp_path=off;
  proxy_cache store; proxy_cache_key $request_uri; proxy_cache_lock on;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {process.HOST};
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000000; }}
  {chr(10).join(servers)}
}}
""")
        return [which("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "log"]

    @staticmethod
    def hit(fields):
        return fields.get("x-cache") == "HIT"


class HAProxy(Server):
    """Its cache in memory, one thread. Its store has a limit of 4095 MiB."""

    package = program = "haproxy"
    has_check_port = True
    variants = ["HAProxy"]

    def command(self):
        config = self.folder / "haproxy.cfg"
        size = max(64, min(4095, self.store_bytes // MIB))
        config.write_text(f"""
global
  nbthread 1
  maxconn {CONNECTIONS_MAX}
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 1d
  timeout server 30s
  timeout http-keep-alive 1d
  default_backend origin
cache store
  total-max-size {size}
  max-object-size {4 * MIB}
  max-age 86400
frontend measured
  bind 127.0.0.1:{self.ports["HAProxy"]}
frontend told
  bind 127.0.0.1:{self.check_port}
  http-response set-header x-cache %[res.cache_hit]
backend origin
  http-request cache-use store
  http-response cache-store store
  server origin 127.0.0.1:{self.bench.origin_port}
""")
        return [which("haproxy"), "-db", "-f", config]

    @staticmethod
    def hit(fields):
        return fields.get("x-cache") == "1"


class Varnish(Server):
    package = "varnish"
    program = "varnishd"
    variants = ["Varnish"]

    def command(self):
        vcl = self.folder / "bench.vcl"
        vcl.write_text(f'vcl 4.1; backend origin {{ .host = "127.0.0.1"; .port = "{self.bench.origin_port}"; }}\n')
        return [
            which("varnishd"), "-j", "none", "-F", "-n", self.folder / "work", "-f", vcl, "-T", "none",
            "-a", f"127.0.0.1:{next(iter(self.ports.values()))}", "-s", f"malloc,{self.store_bytes}",
            "-p", "timeout_idle=3600", "-p", "thread_pools=1",
        ]

    @staticmethod
    def hit(fields):
        return len(fields.get("x-varnish", "").split()) == 2  # This request's number, and the fetch's.


PEERS = [Nginx, HAProxy, Varnish]


def which(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
