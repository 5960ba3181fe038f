"""The measurements of scripts/bench. Invariant: every figure says how often it was measured and how far the values lie apart,
and every rate stands beside a baseline of the same run, because the machine alone explains half of any number."""

import argparse
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from bench_backup import measure_backup
from bench_gate import measure_gate
from bench_memory import measure_memory
from bench_pages import measure_pages
from bench_publish import measure_publishing
from daemon import Daemon, Fault
from measure import DRAFTS, MIB, REPO, Client, Report, digest_of, in_parallel, memory, milliseconds, reset_peak


def measure_disk(report, work, count):
    """What one durable write costs here; a publish waits for at least one."""
    with open(work / "probe", "wb", buffering=0) as probe:
        def write():
            probe.write(b"x" * 4096)
            os.fsync(probe.fileno())
        report.add("baseline: append 4 KiB and fsync", "ms", [milliseconds(write) for _ in range(count)])


def measure_publish(report, client, count):
    whole, alone = [], []
    for number in range(count):
        content = f"round trip {number} ".encode() * 64
        began = time.perf_counter()
        address = client.prepare(f"round-trip-{number}", content[:1024])
        prepared = time.perf_counter()
        client.publish(address)
        ended = time.perf_counter()
        whole.append((ended - began) * 1000)
        alone.append((ended - prepared) * 1000)
    report.add("draft, blob, entries, manifest, publish: 5 requests", "ms", whole, "one client, keep-alive")
    report.add("publish alone", "ms", alone)


def measure_search(report, client, count):
    values = []
    for number in range(count):
        name = f"searchable{number}q{os.getpid()}"
        address = client.prepare(name, name.encode())
        client.publish(address)
        began = time.perf_counter()
        while not client.ask("GET", f"{REPO}/search/packages?q={name}")["items"]:
            if time.perf_counter() - began > 10:
                raise Fault(f"{name} was published and not found within 10 seconds")
            time.sleep(0.0005)
        values.append((time.perf_counter() - began) * 1000)
    report.add("publish answered to found by search", "ms", values, "asked again every half millisecond")


def measure_concurrent(report, port, token, rounds, each, clients=8):
    connections = [Client(port, token) for _ in range(clients)]
    alone, whole = [], []
    for turn in range(rounds):
        def name(client, number, kind, turn=turn):
            return f"parallel-{kind}-{turn}-{client}-{number}"
        drafts = [[connections[client].prepare(name(client, number, "a"), name(client, number, "a").encode()) for number in range(each)]
                  for client in range(clients)]
        seconds = in_parallel([lambda client=client: [connections[client].publish(draft) for draft in drafts[client]] for client in range(clients)])
        alone.append(clients * each / seconds)

        def round_trips(client):
            for number in range(each):
                text = name(client, number, "b")
                connections[client].publish(connections[client].prepare(text, text.encode()))
        seconds = in_parallel([lambda client=client: round_trips(client) for client in range(clients)])
        whole.append(clients * each / seconds)
    report.add(f"publish alone, {clients} clients", "per s", alone, f"each value over {clients * each} publishes")
    report.add(f"all 5 requests, {clients} clients", "per s", whole, "the Python client takes a good part of this")


class Getter:
    """The same GET over one connection, as cheaply as Python can: answers of one address have one length."""

    def __init__(self, port, path, token):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self.socket.sendall(self.request)
        head, body = self.head(b"")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise Fault(f"GET {path} was answered with {head[:200]!r}")
        size = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < size:
            body += self.socket.recv(65536)
        self.length = len(head) + 4 + size

    def head(self, data):
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                raise Fault("the server closed the connection")
            data += more
        return data.split(b"\r\n\r\n", 1)

    def rate(self, count):
        """Requests per second over `count` of them."""
        began = time.perf_counter()
        for _ in range(count):
            self.socket.sendall(self.request)
            missing = self.length
            while missing > 0:
                got = len(self.socket.recv(65536))
                if got == 0:
                    raise Fault("the server closed the connection")
                missing -= got
            if missing < 0:
                raise Fault("an answer was longer than the one before")
        return count / (time.perf_counter() - began)


def measure_reads(report, client, token, rounds, count):
    content = os.urandom(1024)
    client.publish(client.prepare("one-kibibyte", content))
    live = Getter(client.port, "/health/live", token)
    blob = Getter(client.port, f"{REPO}/blobs/{digest_of(content)}", token)
    lives, blobs, ratios = [], [], []
    for _ in range(rounds):
        lives.append(live.rate(count))
        blobs.append(blob.rate(count))
        ratios.append(blobs[-1] / lives[-1])
    report.add("baseline: GET /health/live, one connection", "per s", lives, f"each value over {count} requests")
    report.add("GET of a 1 KiB blob, one connection", "per s", blobs, f"each value over {count} requests")
    report.add("GET of a 1 KiB blob against the baseline", "ratio", ratios)


def measure_large(report, daemon, client, size):
    """One large upload and download: memory and throughput."""
    pattern = bytes(range(256)) * (MIB // 256)
    hasher = hashlib.sha256()
    for _ in range(size // MIB):
        hasher.update(pattern)
    digest, process_id, label = f"sha256:{hasher.hexdigest()}", daemon.process.pid, f"{size // MIB} MiB"
    reset_peak(process_id)
    before = memory(process_id, "VmRSS")

    def pieces():
        for _ in range(size // MIB):
            yield pattern

    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=600)
    began = time.perf_counter()
    connection.request("PUT", f"{REPO}/blobs/{digest}", body=pieces(), headers={**client.headers, "Content-Length": str(size)})
    response = connection.getresponse()
    told = response.read()
    upload = time.perf_counter() - began
    if response.status not in (200, 201):
        raise Fault(f"the upload was answered with {response.status}: {told[:600]!r}")
    report.add(f"memory growth during an upload of {label}", "MiB", [memory(process_id, "VmHWM") - before], f"from {before:.1f} MiB")

    version = client.ask("POST", DRAFTS, {"packageType": "generic", "packageName": "large", "version": "1.0.0"})["versionId"]
    address = f"{REPO}/packages/versions/{version}"
    client.link(address, "large.bin", digest, size)
    client.publish(address)
    reset_peak(process_id)
    before = memory(process_id, "VmRSS")
    began = time.perf_counter()
    connection.request("GET", f"{REPO}/blobs/{digest}", headers=client.headers)
    response = connection.getresponse()
    buffer, received = bytearray(MIB), 0
    while count := response.readinto(buffer):
        received += count
    download = time.perf_counter() - began
    if (response.status, received) != (200, size):
        raise Fault(f"the download was answered with {response.status} and {received} of {size} bytes")
    report.add(f"memory growth during a download of {label}", "MiB", [memory(process_id, "VmHWM") - before], f"from {before:.1f} MiB")

    path = next(daemon.data.glob(f"blobs/sha256/*/*{digest[-60:]}"), None)
    if path is None:
        raise Fault("the uploaded file is not where the data directory keeps blobs")
    values = [milliseconds(lambda: subprocess.run(["sha256sum", path], stdout=subprocess.DEVNULL, check=True)) / 1000 for _ in range(3)]
    baseline = report.add("baseline: sha256sum of the stored file", "MiB/s", [size / MIB / value for value in values])
    report.add(f"upload of {label}, hashed and synced", "MiB/s", [size / MIB / upload], f"{size / MIB / upload / baseline:.2f} of sha256sum")
    report.add(f"download of {label}", "MiB/s", [size / MIB / download], f"{size / MIB / download / baseline:.2f} of sha256sum")
    report.figures["upload against sha256sum"] = round(size / MIB / upload / baseline, 4)
    report.figures["download against sha256sum"] = round(size / MIB / download / baseline, 4)


def measure_start(report, daemon, count):
    starts, stops = [], []
    for _ in range(count):
        stops.append(milliseconds(daemon.stop))
        if daemon.process.returncode != 0:
            raise Fault(f"SIGTERM ended the daemon with exit code {daemon.process.returncode}")
        starts.append(daemon.start() * 1000)
    report.add("exec to ready, on the directory of this run", "ms", starts)
    report.add("SIGTERM to the end", "ms", stops)


def measure_inside(report, bench, *arguments):
    """What is measured inside a process of its own: benches/queue.rs, benches/search.rs."""
    root = pathlib.Path(__file__).resolve().parent.parent
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", bench, "--", *map(str, arguments)]
    ran = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    figures = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode != 0 or not figures:
        raise Fault(f"{' '.join(command)} failed with exit code {ran.returncode}: {ran.stderr[-2000:]}")
    for figure in figures:
        report.add(figure["name"], figure["unit"], figure["values"], figure["note"])


def machine():
    """What the figures depend on and how busy it is."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{os.cpu_count()} processors, load average {load}, Python {sys.version.split()[0]}"


def measure_base(report, daemon, work, quick, size_mib):
    """One daemon from its first start: what everything else is made of."""
    first = daemon.start() * 1000
    report.add("exec to ready, on an empty directory", "ms", [first])
    time.sleep(3)
    report.add("idle memory (RSS) 3 s after the first start", "MiB", [memory(daemon.process.pid, "VmRSS")])
    token = (daemon.data / "admin-token").read_text().strip()
    client = Client(daemon.port, token)
    measure_disk(report, work, 20 if quick else 100)
    measure_publish(report, client, 20 if quick else 200)
    measure_search(report, client, 5 if quick else 30)
    measure_concurrent(report, daemon.port, token, *((2, 5) if quick else (5, 25)))
    measure_reads(report, client, token, *((3, 500) if quick else (7, 3000)))
    measure_large(report, daemon, client, size_mib * MIB if size_mib else (128 if quick else 2048) * MIB)
    measure_start(report, daemon, 3 if quick else 10)
    daemon.stop()


def measure_queue_and_search(report, quick):
    measure_inside(report, "queue", "--rounds", 3 if quick else 9, "--jobs", 1000 if quick else 5000)
    measure_inside(report, "search", *([10_000] if quick else [10_000, 100_000, 1_000_000]))


SECTIONS = {
    "base": lambda report, daemon, work, options: measure_base(report, daemon, work, options.quick, options.size_mib),
    "pages": lambda report, daemon, work, options: measure_pages(report, daemon.binary, work, *((3, 2) if options.quick else (9, 4))),
    "publishing": lambda report, daemon, work, options: measure_publishing(report, daemon.binary, work, *((3, 25) if options.quick else (7, 100))),
    "gate": lambda report, daemon, work, options: measure_gate(report, daemon.binary, work, 300 if options.quick else 1500),
    "memory": lambda report, daemon, work, options: measure_memory(report, daemon.binary, work, (128 if options.quick else 500) * MIB),
    "backup": lambda report, daemon, work, options: measure_backup(report, daemon.binary, work, *((500, 16, 3) if options.quick else (10_000, 64, 10))),
    "inside": lambda report, daemon, work, options: measure_queue_and_search(report, options.quick),
}


def main():
    parser = argparse.ArgumentParser(description="Measures artifortress in a temporary directory; see scripts/bench.")
    parser.add_argument("--binary", required=True, help="the artifortress binary, a release build")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and a smaller upload")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this part alone; may be given again for another one")
    parser.add_argument("--size-mib", type=int, help="the size of the large upload (default 2048, with --quick 128)")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="artifortress-bench-"))
    daemon, report, began = Daemon(options.binary, work), Report(), time.monotonic()
    print(f"{options.binary}: {machine()}\nno policy is stored; client and server share the processors; the data lies in {work} (TMPDIR chooses another disk)\n", flush=True)
    failed = 0
    try:
        for name, section in SECTIONS.items():
            if not options.only or name in options.only:
                section(report, daemon, work, options)
    except (Fault, OSError, http.client.HTTPException, subprocess.SubprocessError, LookupError, ValueError) as fault:
        failed = 1
        print(f"\nbench: {fault if isinstance(fault, Fault) else repr(fault)}\n\n== The end of the daemon's log\n{daemon.log_tail()}", flush=True)
    finally:
        daemon.end()
        shutil.rmtree(work, ignore_errors=True)
    print(f"\nOn noise: compare values of one run only; a wide min–max or a load average above {os.cpu_count() // 2} means that others were at work."
          f"\nAfter {time.monotonic() - began:.0f} s: {machine()}")
    print(json.dumps({"quick": options.quick, "complete": not failed, "figures": report.figures}, ensure_ascii=False))
    return failed


if __name__ == "__main__":
    sys.exit(main())
