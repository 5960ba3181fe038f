"""Publishing small packages side by side. Invariant: a publish counts when it was answered, which is after its syncs; these are counted
by strace in a run of their own, as tracing slows everything down."""

import collections
import hashlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess

from daemon import Daemon, Fault
from measure import in_parallel, processor_seconds
from packages import crate_body, npm_document
from wheel import build_wheel, upload_form

CLIENTS = 8
WANTED = 300


class Raw:
    """One connection that sends requests made beforehand, so that the client costs as little as it can."""

    def __init__(self, port):
        self.port, self.socket = port, socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request):
        """One request; a fault unless its answer is a 2xx."""
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, body = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while len(body) < (int(length.group(1)) if length else 0):
            body += self._more()
        if not re.match(rb"HTTP/1.1 20[01] ", head):
            raise Fault(f"a publish was answered with {head.splitlines()[0]!r}: {body[:600]!r}")

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Fault("the server closed the connection")
        return data


def request(port, token, method, path, body, headers):
    lines = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {token}", "Content-Length": len(body), **headers}
    return f"{method} {path} HTTP/1.1\r\n".encode() + "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n" + body


def generic(port, token, name):
    """The PUT that publishes 1 KiB as a generic package."""
    body = hashlib.shake_256(name.encode()).digest(1024)
    return request(port, token, "PUT", f"/files/main/{name}/1.0/{name}.bin?publish", body, {})


def pypi(port, token, name):
    """The form that uploads a wheel of about 1 KiB."""
    body, headers = upload_form(build_wheel(name, "1.0", "MIT"))
    return request(port, token, "POST", "/pypi/main/legacy/", body, headers)


def npm(port, token, name):
    """The PUT of `npm publish` with a tarball of some hundred bytes."""
    body, headers = npm_document(name, "1.0.0")
    return request(port, token, "PUT", f"/npm/main/{name}", body, headers)


def cargo(port, token, name):
    """The PUT of `cargo publish` with a crate of some hundred bytes."""
    body, headers = crate_body(name, "1.0.0")
    return request(port, token, "PUT", "/cargo/main/api/v1/crates/new", body, headers)


PROTOCOLS = {"generic": generic, "PyPI": pypi, "npm": npm, "Cargo": cargo}


def publish(port, token, protocol, label, each):
    """`each` publishes by each client at once; the seconds that took."""
    requests = [[PROTOCOLS[protocol](port, token, f"{label}-{client}-{number}") for number in range(each)] for client in range(CLIENTS)]
    clients = [Raw(port) for _ in range(CLIENTS)]

    def work(client):
        for one in requests[client]:
            clients[client].send(one)

    seconds = in_parallel([lambda client=client: work(client) for client in range(CLIENTS)])
    for client in clients:
        client.socket.close()
    return seconds


def measure_publishing(report, binary, work, rounds, each):
    directory = pathlib.Path(work, "publishing")
    directory.mkdir()
    daemon = Daemon(binary, directory)
    try:
        daemon.start()
        token = (daemon.data / "admin-token").read_text().strip()
        for protocol in PROTOCOLS:
            name, values, costs = f"publishing 1 KiB, {protocol}, {CLIENTS} clients", [], []
            publish(daemon.port, token, protocol, "warm", 5)
            for turn in range(rounds):
                before = processor_seconds(daemon.process.pid)
                values.append(CLIENTS * each / publish(daemon.port, token, protocol, f"round-{turn}", each))
                costs.append((processor_seconds(daemon.process.pid) - before) * 1000 / (CLIENTS * each))
            report.add(name, "per s", values, f"each value over {CLIENTS * each} publishes, each on disk when answered; wanted: {WANTED} at least")
            report.add(name, "ms", costs, "processor time of the server for each, its background work included")
            if statistics.median(values) < WANTED:
                print(f"  this is less than the {WANTED} per second that are wanted", flush=True)
            count_syncs(report, daemon, token, protocol)
    finally:
        daemon.end()


def count_syncs(report, daemon, token, protocol, each=10):
    """What is synced meanwhile, by the file it is about."""
    if shutil.which("strace") is None:
        raise Fault("counting the syncs needs strace; on Debian: apt-get install strace")
    trace = daemon.data.parent / f"syncs-{protocol}.txt"
    command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace), "-p", str(daemon.process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        # It says when it is there.
        if "attached" not in tracer.stderr.readline():
            raise Fault(f"strace cannot trace process {daemon.process.pid}; run this as root")
        publish(daemon.port, token, protocol, f"traced-{os.getpid()}", each)
    finally:
        tracer.send_signal(2)
        tracer.wait(20)
    kinds = collections.Counter()
    for path in re.findall(r"(?:fsync|fdatasync)\(\d+<([^>]*)>", trace.read_text()):
        inside = os.path.relpath(path, daemon.data)
        kinds["write-ahead log" if "-wal" in inside else "staged file" if inside.startswith("staging") else
              "directory of blobs" if os.path.isdir(path) else "database" if ".db" in inside else "other"] += 1
    count = CLIENTS * each
    shares = ", ".join(f"{kind} {number / count:.2f}" for kind, number in kinds.most_common())
    report.add(f"syncs for each publish, {protocol}, {CLIENTS} clients", "syncs", [sum(kinds.values()) / count], f"over {count} publishes: {shares}")
    if not kinds["write-ahead log"] or not kinds["staged file"]:
        raise Fault(f"publishes were answered and not synced: {dict(kinds)}")
