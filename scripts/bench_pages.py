"""Rendered indexes against nginx sending the very same bytes from disk. Invariant: both are asked in turn, each on the first
processor alone, by wrk on the second, over as many connections and with heads of one size; the ratio is the figure."""

import http.client
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import time

from daemon import Daemon, Fault
from measure import Client, processor_seconds
from packages import crate_body, npm_document
from wheel import build_wheel, upload_form

CONNECTIONS = 32
WANTED = 0.25
JSON = "application/vnd.pypi.simple.v1+json"

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/tmp; proxy_temp_path {directory}/tmp; fastcgi_temp_path {directory}/tmp;
    uwsgi_temp_path {directory}/tmp; scgi_temp_path {directory}/tmp;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/root;
        location / {{
            default_type {media_type};
            add_header Cache-Control "private, no-cache";
            add_header Vary "Accept, Authorization";
            add_header X-Padding "{padding}";
        }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def need_tools():
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None]
    if missing:
        raise Fault(f"the comparison with nginx needs {' and '.join(missing)}; on Debian: apt-get install nginx-light wrk util-linux")
    if os.cpu_count() < 2:
        raise Fault("the comparison with nginx needs two processors: one for the server, one for wrk")


def exchange(port, path, headers):
    """One GET; the size of the answer's head in bytes, its media type and its body."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, body = data.split(b"\r\n\r\n", 1)
        said = http.client.parse_headers(_Lines(head.split(b"\r\n", 1)[1] + b"\r\n\r\n"))
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise Fault(f"GET {path} was answered with {head[:200]!r}")
        while len(body) < int(said["content-length"]):
            body += connection.recv(1 << 20)
        return len(head), said["content-type"], body


class _Lines:
    """What parse_headers reads from."""

    def __init__(self, data):
        self.lines = data.splitlines(keepends=True)

    def readline(self, _limit=-1):
        return self.lines.pop(0) if self.lines else b""


class Nginx:
    """nginx with one worker on the first processor, over one file."""

    def __init__(self, work, name, page, log):
        self.directory, self.port, self.page = work / f"nginx-{name}", free_port(), page
        for part in ("root", "tmp"):
            (self.directory / part).mkdir(parents=True)
        self.directory.chmod(0o755)
        (self.directory / "root" / "page").write_bytes(page["body"])
        self.log = self.directory / "access.log" if log else "off"
        self.process = None

    def start(self):
        """Starts it twice: first to learn how long its head is, then with as much padding as is missing to ours."""
        self._run(padding="")
        head, _, _ = exchange(self.port, "/page", {})
        missing = self.page["head"] - head
        self.stop()
        self._run(padding="p" * max(missing, 0))
        head, _, body = exchange(self.port, "/page", {})
        if body != self.page["body"]:
            raise Fault("nginx sends other bytes than were given to it")
        return head

    def _run(self, padding):
        # An empty value leaves the header out; with one, the name counts too.
        padding = padding[len("X-Padding: \r\n"):]
        media_type = self.page["media_type"].split(";")[0]
        text = NGINX.format(directory=self.directory, port=self.port, log=self.log, media_type=media_type, padding=padding)
        # Its worker reads as another user; the directories above are only passable for us.
        text = ("user root;" if os.geteuid() == 0 else "") + text
        (self.directory / "nginx.conf").write_text(text)
        command = ["taskset", "-c", "0", shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"), "-c", str(self.directory / "nginx.conf")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Fault(f"nginx did not start: {(self.directory / 'error.log').read_text()}")

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None


def wrk(server, path, headers, seconds):
    """Requests per second with every answer a 2xx, and the microseconds of processor time that each took the server."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    before = processor_seconds(server.process.pid)
    ran = subprocess.run([*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, timeout=seconds + 60, check=True)
    used = processor_seconds(server.process.pid) - before
    if "Non-2xx" in ran.stdout or "Socket errors" in ran.stdout:
        raise Fault(f"wrk was answered badly: {ran.stdout}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", ran.stdout).group(1))
    return rate, used * 1e6 / int(re.search(r"(\d+) requests in", ran.stdout).group(1))


def send(client, method, path, body, headers):
    """One upload, which must succeed."""
    client.connection.request(method, path, body=body, headers={**client.headers, **headers})
    response = client.connection.getresponse()
    told = response.read()
    if response.status not in (200, 201):
        raise Fault(f"{method} {path} was answered with {response.status}: {told[:600]!r}")


def fill_project(client, name, files):
    """A project with so many wheels; the address of its page."""
    for number in range(files):
        send(client, "POST", "/pypi/main/legacy/", *upload_form(build_wheel(name, f"1.{number}", "MIT")))
    return f"/pypi/main/simple/{name}/"


def fill_package(client, name, versions):
    """An npm package with so many versions; the address of its packument."""
    for number in range(versions):
        send(client, "PUT", f"/npm/main/{name}", *npm_document(name, f"1.{number}.0"))
    return f"/npm/main/{name}"


def fill_crate(client, name, versions):
    """A crate with so many versions; the address of its index file."""
    for number in range(versions):
        send(client, "PUT", "/cargo/main/api/v1/crates/new", *crate_body(name, f"1.{number}.0"))
    return f"/cargo/main/index/{name[:2]}/{name[2:4]}/{name}"


INDEXES = {
    "simple page with 100 files": (fill_project, 100, JSON),
    "simple page with 1 file": (fill_project, 1, JSON),
    "packument with 100 versions": (fill_package, 100, "application/json"),
    "sparse index file with 100 versions": (fill_crate, 100, "*/*"),
}


def measure_pages(report, binary, work, rounds, seconds):
    """Every kind of index: ours and nginx's in turn."""
    need_tools()
    directory = pathlib.Path(work, "pages")
    directory.mkdir()
    daemon = Daemon(binary, directory, prefix=["taskset", "-c", "0"])
    try:
        daemon.start()
        token = (daemon.data / "admin-token").read_text().strip()
        for number, (name, (fill, count, accept)) in enumerate(INDEXES.items()):
            path = fill(Client(daemon.port, token), f"package{number}", count)
            compare(report, daemon, directory, name, path, {"Authorization": f"Bearer {token}", "Accept": accept}, rounds, seconds)
    finally:
        daemon.end()


def compare(report, daemon, work, name, path, headers, rounds, seconds):
    head, media_type, body = exchange(daemon.port, path, headers)
    page = {"head": head, "media_type": media_type, "body": body}
    logging, silent = (Nginx(work, f"{name.replace(' ', '-')}-{'log' if log else 'silent'}", page, log) for log in (True, False))
    nginx_head = logging.start()
    silent.start()
    asked = {"nginx, with its log of requests": (logging, "/page", {}), "ours, with its log of requests": (daemon, path, headers),
             "nginx, without a log": (silent, "/page", {})}
    rates, costs = ({who: [] for who in asked} for _ in range(2))
    try:
        wrk(daemon, path, headers, 1)
        for _ in range(rounds):
            for who, (server, address, sent) in asked.items():
                rate, cost = wrk(server, address, sent, seconds)
                rates[who].append(rate)
                costs[who].append(cost)
    finally:
        logging.stop()
        silent.stop()
    print(f"{name}: {len(body)} bytes; a head of {head}, nginx's {nginx_head}; {CONNECTIONS} connections, {seconds} s each", flush=True)
    for who in asked:
        report.add(f"{name}: {who}", "per s", rates[who])
        report.add(f"{name}: {who}", "us", costs[who], "processor time of the server for each request")
    ours = "ours, with its log of requests"
    for who in asked:
        if who == ours:
            continue
        ratios = [mine / other for mine, other in zip(rates[ours], rates[who])]
        report.add(f"{name}: rate against {who}", "ratio", ratios, f"wanted: {WANTED} at least")
        report.add(f"{name}: processor time against {who}", "ratio", [other / mine for mine, other in zip(costs[ours], costs[who])],
                   "what remains when wrk or other work on this machine is the limit")
        if statistics.median(ratios) < WANTED:
            print(f"  this is less than the {WANTED} of nginx that is wanted", flush=True)
