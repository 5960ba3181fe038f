"""A machine for the runbook: a shell, a small disk, and stand-ins for what a packaged installation has. Invariant: nothing outside its
temporary directory is touched, and nothing it started outlives it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import textwrap
import time
import urllib.request

DISK_MIB = 512
MARK = "-- done:"
# Where a packaged installation has its files, and where they lie here below the temporary directory.
PLACES = {"/var/lib/artifortress": "disk/data", "/etc/artifortress": "etc", "/var/backups/artifortress": "backups"}
ADDRESS = "127.0.0.1:8466"

SUDO = """\
    #!/usr/bin/env bash
    # Whoever runs this may do everything already.
    if [ "$1" = -u ]; then shift 2; fi
    exec "$@"
"""
SYSTEMCTL = """\
    #!/usr/bin/env python3
    import sys
    sys.path.insert(0, {scripts!r})
    from host import Service
    sys.exit(Service({work!r}, {binary!r}).obey(sys.argv[1:]))
"""
JOURNALCTL = """\
    #!/usr/bin/env bash
    exec tail -n 5 {log}
"""


class Fault(Exception):
    """Something is not as the runbook says."""


class Service:
    """What the service manager does with the unit, for one daemon without a service manager."""

    def __init__(self, work, binary):
        self.work, self.binary = pathlib.Path(work), binary
        self.process_file, self.clock_file = self.work / "process", self.work / "clock"

    def obey(self, words):
        verbs = {"start": self.start, "stop": self.stop, "restart": self.restart, "is-active": self.is_active, "reload": self.reload}
        words = [word for word in words if not word.startswith("-") and word != "artifortress"]
        return verbs[words[0]]()

    def running(self):
        try:
            process = int(self.process_file.read_text())
            state = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, ValueError, IndexError):
            return None
        return None if state == "Z" else process

    def start(self):
        if self.running():
            return 0
        # A clock that is wrong on purpose.
        prefix = ["faketime", "-f", self.clock_file.read_text()] if self.clock_file.exists() else []
        with open(self.work / "log", "ab") as log:
            child = subprocess.Popen(
                [*prefix, self.binary, "serve", "--config", str(self.work / "etc/artifortress.toml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=clean_environment())
        self.process_file.write_text(str(child.pid))
        for _ in range(400):
            if child.poll() is not None:
                print("Job for artifortress.service failed because the control process exited with error code.")
                return 1
            if (self.work / PLACES["/var/lib/artifortress"] / "lock").exists() and self.answers():
                return 0
            time.sleep(0.05)
        return 1

    def answers(self):
        port = int((self.work / "port").read_text())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=2):
                return True
        except OSError:
            return False

    def stop(self):
        process = self.running()
        if process is None:
            return 0
        # As with a unit, whoever does not end in time is killed; so is who hangs.
        for order, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            os.killpg(process, order)
            for _ in range(patience * 20):
                if self.running() is None:
                    return 0
                time.sleep(0.05)
        return 1

    def restart(self):
        return self.stop() or self.start()

    def reload(self):
        os.killpg(self.running(), signal.SIGHUP)
        return 0

    def is_active(self):
        print("active" if self.running() else "inactive")
        return 0 if self.running() else 3


def clean_environment():
    return {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}


class Host:
    """The machine: `type` is what its operator does, the rest is what happens to it."""

    def __init__(self, binary, work):
        self.binary, self.work, self.shell = binary, work, None
        self.service = Service(work, binary)
        self.data = work / PLACES["/var/lib/artifortress"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def __enter__(self):
        for name in ("bin", "disk", "etc", "backups", "home"):
            (self.work / name).mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", str(self.work / "disk")], check=True)
        (self.work / "port").write_text(str(self.port))
        (self.work / "etc/artifortress.toml").write_text(f'data_dir = "{self.data}"\nlisten = "127.0.0.1:{self.port}"\n')
        shutil.copy(self.binary, self.work / "bin/artifortress")
        facts = {"work": str(self.work), "binary": str(self.work / "bin/artifortress"), "log": str(self.work / "log"),
                 "scripts": str(pathlib.Path(__file__).parent)}
        self.tool("sudo", SUDO)
        self.tool("systemctl", SYSTEMCTL.format(**facts))
        self.tool("journalctl", JOURNALCTL.format(**facts))
        environment = clean_environment() | {"PATH": f"{self.work}/bin:{os.environ['PATH']}", "HOME": str(self.work / "home"), "TERM": "dumb"}
        self.shell = subprocess.Popen(["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, env=environment, cwd=self.work / "home")
        return self

    def __exit__(self, *_):
        self.shell.kill()
        self.shell.wait()
        if self.service.running():
            os.killpg(self.service.running(), signal.SIGKILL)
            time.sleep(0.2)
        subprocess.run(["umount", "-l", str(self.work / "disk")], check=False)

    def tool(self, name, text):
        path = self.work / "bin" / name
        path.write_text(textwrap.dedent(text))
        path.chmod(0o755)

    def type(self, line):
        """Types a line; what it printed, in the runbook's own places and address, and its exit code."""
        for place, here in PLACES.items():
            line = line.replace(place, str(self.work / here))
        line = line.replace(ADDRESS, f"127.0.0.1:{self.port}")
        self.shell.stdin.write("{ " + line + "\n} </dev/null\nprintf '\\n%s %s\\n' '" + MARK + "' $?\n")
        self.shell.stdin.flush()
        printed = []
        for text in self.shell.stdout:
            if text.startswith(MARK):
                while printed and not printed[-1]:
                    printed.pop()
                return printed, int(text.split()[-1])
            text = text.rstrip("\n")
            for place, here in PLACES.items():
                text = text.replace(str(self.work / here), place)
            printed.append(text.replace(f"127.0.0.1:{self.port}", ADDRESS))
        raise Fault(f"the shell ended at: {line}")

    def need(self, line):
        """Types a line of the preparations, which must do what it says."""
        printed, code = self.type(line)
        if code != 0:
            raise Fault(f"preparing the chapter: $ {line}\nended with {code} and printed\n" + "\n".join(printed))
        return printed

    def log_tail(self):
        log = self.work / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-25:]) if log.exists() else "there is no log"
