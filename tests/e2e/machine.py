"""A machine of its own: dockerd, mongod, Redis and worker in a network of their own.

Its power can be cut: every process of it is killed, the shared dockerd of the other tests
is not touched. The thread that enters it starts all that belongs to it, and asks it as
from the machine's own loopback; `leave` brings the thread back.
"""

import contextlib
import ctypes
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.e2e import checker
from tests.e2e.conftest import Mongod
from tests.e2e.killing import COMPOSE, Arena
from tests.e2e.world import until
from worker.plan import FENCES

NEW_NETWORK = 0x40000000
BASE = "sheetanchor-base:1"
LIBC = ctypes.CDLL(None, use_errno=True)


class Machine:
    """`enter`, then `boot`; `cut_power` and `boot` again."""

    def __init__(self, home):
        # Docker's sockets lie deep below: their paths must stay under 108 bytes.
        self.home, self.run = home, Path(f"/run/sa-{secrets.token_hex(4)}")
        home.mkdir(exist_ok=True)  # its disk for Docker may be mounted below
        self.address = f"unix://{self.run}/docker.sock"
        self.cgroup = f"/{self.run.name}"
        self.dockerd = None

    def enter(self):
        """Move this thread into a network of its own, and name its Docker to all who ask."""
        self.outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.host_before = os.environ.get("DOCKER_HOST")
        with (self.home / "base.tar").open("wb") as image:
            subprocess.run(["docker", "save", BASE], stdout=image, check=True)
        check(LIBC.unshare(NEW_NETWORK))
        self.network = os.stat("/proc/thread-self/ns/net").st_ino
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        os.environ["DOCKER_HOST"] = self.address
        self.start_docker()
        argv = ["docker", "load", "--quiet", "--input", str(self.home / "base.tar")]
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)

    def leave(self):
        """Cut the power, remove what was on the machine's disk, move the thread back."""
        self.cut_power()
        shutil.rmtree(self.home / "docker", ignore_errors=True)
        if self.host_before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = self.host_before
        check(LIBC.setns(self.outside, NEW_NETWORK))
        os.close(self.outside)

    def start_docker(self):
        self.run.mkdir(exist_ok=True)
        argv = ["unshare", "--mount", "dockerd", "--host", self.address]
        argv += ["--data-root", str(self.home / "docker"), "--exec-root", str(self.run)]
        argv += ["--pidfile", str(self.run / "pid"), "--cgroup-parent", self.cgroup]
        with (self.home / "dockerd.txt").open("a") as log:
            self.dockerd = subprocess.Popen(argv, stdout=log, stderr=log)
        until(docker_answers, "dockerd answers", 120)

    def stop_docker(self, number=signal.SIGTERM):
        """Stop it as an upgrade does (its containers stop, too), or kill it."""
        self.dockerd.send_signal(number)
        self.dockerd.wait(120)
        if number == signal.SIGKILL:
            until(lambda: not self._containerd(), "containerd died with it")
            (self.run / "containerd" / "containerd.pid").unlink()  # nobody may have waited for it

    def restart_docker(self):
        self.stop_docker()
        self.start_docker()

    def cut_power(self):
        """Kill every process of the machine; what only memory held is gone."""
        for who in (self._ours, self._shims, self._containers):
            self._kill(who)
        self.dockerd.wait()
        shutil.rmtree(self.run)
        for folder in Path("/sys/fs/cgroup").glob(f"*{self.cgroup}"):
            for inner in [*folder.glob("*/"), folder]:
                with contextlib.suppress(OSError):
                    inner.rmdir()

    def _ours(self):
        """Return what was started in the machine's network, ourselves not."""
        return [pid for pid in all_pids() if network_of(pid) == self.network]

    def _containerd(self):
        return [pid for pid in self._ours() if command_of(pid).split(b"\0")[0] == b"containerd"]

    def _shims(self):
        """Return what stands between containerd and each container, and outlives Docker."""
        return [pid for pid in all_pids() if str(self.run).encode() in command_of(pid)]

    def _containers(self):
        """Return what runs in the machine's containers: their cgroup outlives their shim."""
        return [pid for pid in all_pids() if f"{self.cgroup}/" in cgroups_of(pid)]

    def _kill(self, who):
        def gone():
            for pid in (left := who()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        until(gone, "they are dead")


class OnAMachine(Arena):
    """An arena on a machine of its own; its app is one that Docker starts whenever it can."""

    def __init__(self, home):
        self.machine = Machine(home / "machine")
        self.machine.enter()
        try:
            site = home / "site"
            site.mkdir()
            self.mongod = Mongod(site / "mongod")
            super().__init__(site, self.mongod)
        except BaseException:
            self.machine.leave()
            raise

    def begin(self):
        super().begin()
        self.world.commit({"docker-compose.yml": COMPOSE.replace("unless-stopped", "always")})
        self._deploy()

    def kill(self, victim, standing):
        """Cut the power, or kill Docker and the worker; Docker is the first to be back."""
        if victim == "power":
            self.cut_power()
        else:
            self.machine.stop_docker(signal.SIGKILL)
            super().kill("worker", standing)
            self.machine.start_docker()
            return time.time()
        self.machine.start_docker()
        assert not (self.must_rest() and self.runs()), self.runs()
        self.boot()
        return time.time()

    def cut_power(self):
        self.machine.cut_power()
        for child in [*self.world.processes, self.mongod.process]:
            child.wait()
        self.world.processes.clear()

    def boot(self):
        """Start what the host itself starts after Docker: mongod and Redis; then ours."""
        self.mongod.start()
        self._restart_redis()
        self.world.start("webhook")
        self.start_worker()
        until(lambda: self.world.ask("GET", "/readyz")[0] == 200, "ready")

    def runs(self):
        """Return which of the app's containers run."""
        there = self.world.containers().items()
        return [name for name, (state, _, _) in there if state == "running"]

    def must_rest(self):
        """Return whether the open deployment is between its last halt or fence and its `up`."""
        stopped = False
        for identity, records in checker.read(self.world).items():
            if self.records(identity)[-1]["event"] == "end":
                continue
            for one in records:
                if one["event"] == "done" and one["step"] in FENCES:
                    stopped = True
                if one["facts"].get("up"):
                    stopped = False
        return stopped

    def comes_back_after_a_restart_of_docker(self):
        """Restart Docker as an upgrade does; see that the app needs nobody."""
        before, answers = self.world.fingerprint(), self.world.version()
        assert answers
        self.machine.restart_docker()
        until(lambda: self.world.version() == answers, "the app is back")
        assert self.world.fingerprint() == before

    def close(self):
        """End what belongs to it; its containers and images go with the machine."""
        self.mongod.client.close()
        self.machine.leave()
        for child in [*self.world.processes, self.mongod.process]:
            child.wait()


def docker_answers():
    path = os.environ["DOCKER_HOST"].removeprefix("unix://")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in client.recv(100)
    return False


def check(status):
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def all_pids():
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in found if pid != os.getpid() and not is_zombie(pid)]


def is_zombie(pid):
    with contextlib.suppress(OSError):
        return re.search(r"\) Z ", Path(f"/proc/{pid}/stat").read_text()) is not None
    return True


def network_of(pid):
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    return None


def command_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def cgroups_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cgroup").read_text()
    return ""
