"""What slow evaluations of one repo do to everybody else. Invariant: who is slow and who is measured are different processes, repos and
connections; the same requests are measured before, so that the difference is what the load did."""

import asyncio
import http.client
import multiprocessing
import pathlib
import time

from daemon import Daemon, Fault
from measure import Client

CLIENTS = 64
REPO = "/v1/repos/slow"


def slow_policy(rules=500, patterns=8):
    """Rules that look at every package in vain, and long."""
    condition = " || ".join(f'context.package.purl like "*a*b*c*{number}*d*"' for number in range(patterns))
    return "".join(f'@id("r{number}") forbid (principal, action, resource) when {{ {condition} }};\n' for number in range(rules))


def evaluate_without_end(port, token, version, count):
    """The load: evaluations over `CLIENTS` connections until it is killed."""
    body = b'{"action": "publish", "versionId": "%s", "reason": "measured"}' % version.encode()
    head = f"POST {REPO}/policy/evaluations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def one():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(head.encode() + body)
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            lengths = [int(line.split(b":")[1]) for line in answer.split(b"\r\n") if line.startswith(b"content-length")]
            await reader.readexactly(lengths[0] if lengths else 0)
            with count.get_lock():
                count.value += 1

    async def all_of_them():
        await asyncio.gather(*[one() for _ in range(CLIENTS)])

    asyncio.run(all_of_them())


def timed(work, count, pause):
    values = []
    for number in range(count):
        began = time.perf_counter()
        work(number)
        values.append((time.perf_counter() - began) * 1000)
        time.sleep(pause)
    return values


def measure_gate(report, binary, work, count):
    directory = pathlib.Path(work, "gate")
    directory.mkdir()
    daemon = Daemon(binary, directory)
    load = None
    try:
        daemon.start()
        token = (daemon.data / "admin-token").read_text().strip()
        client = Client(daemon.port, token)
        client.ask("POST", "/v1/repos", {"repoKey": "slow"})
        client.ask("PUT", "/files/main/a/1.0/a.txt?publish", b"x" * 1024)
        client.ask("PUT", "/files/slow/b/1.0/b.txt?publish", b"x" * 1024)
        version = client.ask("GET", f"{REPO}/packages/versions/resolve?packageType=generic&name=b&version=1.0")["versionId"]
        put_policy(daemon, token, slow_policy())
        wanted = {"action": "publish", "versionId": version, "reason": "measured"}
        report.add("one evaluation of the slow policy", "ms", timed(lambda _: client.ask("POST", f"{REPO}/policy/evaluations", wanted), 5, 0))

        def measure(when):
            gets = timed(lambda _: client.ask("GET", "/files/main/a/1.0/a.txt"), count, 0.002)
            report.add(f"GET of 1 KiB, {when}", "ms", gets, "the p99 is what counts")
            puts = timed(lambda number: client.ask("PUT", f"/files/main/{when.split()[0]}{number}/1.0/a.txt?publish", f"{when}{number}".encode()),
                         count // 5, 0.005)
            report.add(f"publish of some bytes, {when}", "ms", puts, "the p99 is what counts")

        measure("idle")
        context = multiprocessing.get_context("fork")
        done = context.Value("Q", 0)
        load = context.Process(target=evaluate_without_end, args=(daemon.port, token, version, done), daemon=True)
        load.start()
        time.sleep(3)
        before, began = done.value, time.monotonic()
        measure(f"beside {CLIENTS} clients with slow evaluations")
        if not load.is_alive() or done.value == before:
            raise Fault("the slow evaluations came to a stop")
        report.add("slow evaluations meanwhile", "per s", [(done.value - before) / (time.monotonic() - began)])
    finally:
        if load is not None:
            load.kill()
            load.join()
        daemon.end()


def put_policy(daemon, token, text):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    connection.request("PUT", f"{REPO}/policy", text.encode(), {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"})
    response = connection.getresponse()
    told = response.read()
    connection.close()
    if response.status != 200:
        raise Fault(f"the policy was answered with {response.status}: {told[:600]!r}")
