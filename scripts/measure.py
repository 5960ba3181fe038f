"""What every measurement uses: the report, a client, memory, clients side by side. Invariant: a figure says how often it was
measured and how far the values lie apart."""

import hashlib
import http.client
import json
import os
import pathlib
import statistics
import threading
import time

from daemon import Fault

MIB = 1 << 20
REPO = "/v1/repos/main"
DRAFTS = f"{REPO}/packages/versions/drafts"


class Report:
    """Prints each figure as one line and keeps it for the JSON line at the end."""

    def __init__(self):
        self.figures = {}

    def add(self, name, unit, values, note=""):
        ordered = sorted(values)
        p90, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.9, 0.99))
        figure = {"unit": unit, "median": statistics.median(ordered), "p90": p90, "min": ordered[0], "max": ordered[-1], "n": len(ordered)}
        if len(ordered) >= 100:
            figure["p99"] = p99
        self.figures[name] = {**{key: round(value, 4) if isinstance(value, float) else value for key, value in figure.items()}, "note": note}
        shown = {key: f"{value:,.{2 if value < 100 else 0}f}" for key, value in figure.items() if isinstance(value, (int, float))}
        spread = f"p90 {shown['p90']}, {'p99 ' + shown['p99'] + ', ' if 'p99' in shown else ''}min–max {shown['min']}–{shown['max']}" if len(ordered) > 1 else "once"
        print(f"{name:<52} {shown['median']:>9} {unit:<9} {spread}, n {len(ordered)}{f'; {note}' if note else ''}", flush=True)
        return figure["median"]


class Client:
    """One keep-alive connection with a token."""

    def __init__(self, port, token):
        self.port, self.headers = port, {"Authorization": f"Bearer {token}"}
        self.connection, self.used = http.client.HTTPConnection("127.0.0.1", port, timeout=60), time.monotonic()

    def ask(self, method, path, body=None, allowed=(200, 201)):
        """One request; the parsed answer, or a fault when its status is not allowed."""
        headers = self.headers
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {**headers, "Content-Type": "application/json"}
        # The server closes what is idle for long; the next request opens it again.
        if time.monotonic() - self.used > 5:
            self.connection.close()
        self.connection.request(method, path, body=body, headers=headers)
        self.used = time.monotonic()
        response = self.connection.getresponse()
        data = response.read()
        if response.status not in allowed:
            raise Fault(f"{method} {path} was answered with {response.status} {response.reason}: {data[:600].decode('utf-8', 'replace')}")
        return json.loads(data) if response.headers.get("Content-Type", "").startswith("application/json") else data

    def prepare(self, name, content):
        """Everything before the publish; returns the address of the draft."""
        digest = digest_of(content)
        version = self.ask("POST", DRAFTS, {"packageType": "generic", "packageName": name, "version": "1.0.0"})["versionId"]
        address = f"{REPO}/packages/versions/{version}"
        self.ask("PUT", f"{REPO}/blobs/{digest}", content)
        self.link(address, f"{name}.bin", digest, len(content))
        self.ask("PUT", f"{address}/manifest", {"license": "MIT", "description": f"the package {name}"})
        return address

    def link(self, address, path, digest, size):
        self.ask("POST", f"{address}/entries", {"entries": [{"relativePath": path, "blobDigest": digest, "sizeBytes": size}]})

    def publish(self, address):
        answer = self.ask("POST", f"{address}/publish", {})
        if answer["state"] != "published":
            raise Fault(f"{address} was not published: {answer}")


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def milliseconds(work):
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def memory(process_id, field):
    """A line of the process's status, in MiB."""
    for line in pathlib.Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise Fault(f"the system does not tell {field} of process {process_id}")


def processor_seconds(process_id):
    """What a process with all its threads, and its children, have used until now."""
    used = sum(int(ticks) for ticks in pathlib.Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
    children = pathlib.Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return used / os.sysconf("SC_CLK_TCK") + sum(processor_seconds(child) for child in children)


def reset_peak(process_id):
    """Lets VmHWM start again from the present."""
    pathlib.Path(f"/proc/{process_id}/clear_refs").write_text("5")


def in_parallel(works):
    """Runs all at once; the seconds from a common start to the last end."""
    faults, gate = [], threading.Barrier(len(works) + 1)

    def run(work):
        gate.wait()
        try:
            work()
        except (Fault, OSError, http.client.HTTPException, LookupError, ValueError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if faults:
        raise Fault(f"a client failed: {faults[0]!r}")
    return time.perf_counter() - began
