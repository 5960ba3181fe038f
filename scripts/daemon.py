"""One artifortress process for the demo and the benchmark. Invariant: it lives in a directory and on a loopback port of its own,
takes no setting from this machine's environment, and nothing outlives `end`."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time


class Fault(Exception):
    """The daemon did not do what it must."""


class Answer:
    """One HTTP response, read whole."""

    def __init__(self, response):
        self.status, self.reason, self.headers = response.status, response.reason, response.headers
        self.body = response.read()
        self.text = self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __getitem__(self, member):
        return self.json[member]


class Daemon:
    """One artifortress process over one data directory, on a free loopback port."""

    def __init__(self, binary, work, prefix=()):
        self.prefix, self.binary, self.data, self.log = list(prefix), binary, work / "data", work / "daemon.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ARTIFORTRESS_")}

    def start(self):
        """Starts the process and waits until it is ready; returns the seconds that took."""
        began = time.monotonic()
        command = [*self.prefix, self.binary, "serve", "--data-dir", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        while time.monotonic() - began < 20:
            if self.process.poll() is not None:
                raise Fault(f"the daemon ended at once with exit code {self.process.returncode}")
            try:
                if self.ask("GET", "/health/ready").status == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.002)
        raise Fault("the daemon was not ready after 20 seconds")

    def stop(self):
        """Sends SIGTERM and returns the exit code; kills after 20 seconds."""
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Fault("the daemon did not end within 20 seconds of SIGTERM") from None

    def end(self):
        """Makes sure that nothing is left running."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log_tail(self):
        """The last forty lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:]) if self.log.exists() else "there is no log"

    def ask(self, method, path, body=None, headers=None):
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def run(self, *arguments):
        """Runs the command line of the same binary."""
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True, timeout=60, env=self.environment, check=False)
