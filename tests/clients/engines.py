"""Engines that nodes share: Redis and Valkey as child processes with folders of their own, and a relay to cut their links."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from proxies import PATIENCE, end, free_port

ROOT = Path(__file__).parents[2]


def redis():
    return os.environ.get("SARANG_REDIS") or shutil.which("redis-server")


def valkey():
    """tests/run unpacks Valkey there: Debian 12 has it in its backports only, and two services would share a port."""
    found = os.environ.get("SARANG_VALKEY") or shutil.which("valkey-server")
    return found or ROOT / "target/engines/valkey/usr/bin/valkey-server"


# Valkey may not be to be had, which tests/run says. Without Redis the tests fail.
ENGINES = [redis, *(find for find in [valkey] if Path(find()).exists())]


def until(is_so, *arguments):
    """Waits for what must come to be; the time is only there to fail."""
    deadline = time.monotonic() + 2 * PATIENCE
    while not is_so(*arguments):
        assert time.monotonic() < deadline, (is_so, arguments)
        time.sleep(0.05)


class EngineError(Exception):
    """What an engine answered with `-`."""


class Line:
    """A connection to an engine, for what an operator asks it."""

    def __init__(self, address, *, password=None):
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rb")
        if password:
            self.ask("AUTH", password)

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.answer()

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the engine has gone")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise EngineError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest

    def close(self):
        self.file.close()
        self.socket.close()


class Engine:
    """A running engine. Nothing is kept on disk unless options say so."""

    def __init__(self, find, folder, *options, port=None):
        self.program = find()
        assert self.program and Path(self.program).exists(), f"{find.__name__} is missing; tests/run brings it"
        self.kind, self.folder, self.options = find.__name__, folder, options
        self.port = port or free_port()
        self.address = ("127.0.0.1", self.port)
        self.log = folder / "log"
        folder.mkdir(exist_ok=True)
        self.process = None
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *more):
        always = ["--bind", "127.0.0.1", "--port", self.port, "--dir", self.folder, "--save", "", "--daemonize", "no"]
        # A replica that asks again takes what it missed, and a diskless copy begins at once.
        always += ["--repl-diskless-sync-delay", 0, "--repl-timeout", 5]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [str(word) for word in [self.program, *always, *self.options, *more]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self.answers)

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("PING") == "PONG"
        except EngineError as error:
            # One that asks for a password is ready, one that loads its data is not.
            return str(error).startswith("NOAUTH")
        except ConnectionError:
            return False

    def ask(self, *words):
        line = Line(self.address)
        try:
            return line.ask(*words)
        finally:
            line.close()

    def info(self, name):
        lines = dict(line.split(":", 1) for line in self.ask("INFO").splitlines() if ":" in line)
        return lines.get(name)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def restart(self, *more):
        self.kill()
        self.start(*more)

    def stop(self):
        if self.process.poll() is None:
            self.resume()
            end(self.process)


class Relay:
    """A port that leads to another, and can be cut and stalled."""

    def __init__(self, target, host="127.0.0.1"):
        self.target = target
        self.listener = socket.create_server((host, 0))
        self.address = self.listener.getsockname()
        self.changed = threading.Condition()
        self.is_stalled = self.is_cut = self.is_over = False
        self.delay = 0
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return "redis://{}:{}".format(*self.address)

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.lead, args=[near], daemon=True).start()

    def lead(self, near):
        """Opens the other side; both ends are closed together."""
        try:
            far = socket.create_connection(self.target, PATIENCE)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        with self.changed:
            if self.is_cut or self.is_over:
                near.close()
                far.close()
                return
            self.open |= {near, far}
        ways = [threading.Thread(target=self.carry, args=pair, daemon=True) for pair in [(near, far), (far, near)]]
        for way in ways:
            way.start()
        for way in ways:
            way.join()
        with self.changed:
            self.open -= {near, far}
        near.close()
        far.close()

    def carry(self, source, target):
        try:
            while self.passes(data := source.recv(65536)):
                target.sendall(data)
        except OSError:
            pass
        for one in [source, target]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def passes(self, data):
        """Holds what has come while the link is stalled, as a full link does."""
        if self.delay:
            time.sleep(self.delay)
        with self.changed:
            self.changed.wait_for(lambda: not self.is_stalled or self.is_cut or self.is_over)
            return data and not self.is_cut and not self.is_over

    def set(self, **state):
        with self.changed:
            for name, value in state.items():
                setattr(self, name, value)
            self.changed.notify_all()
            if self.is_cut or self.is_over:
                for one in self.open:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def stall(self):
        self.set(is_stalled=True)

    def cut(self):
        """What was stalled is lost, and nobody comes through."""
        self.set(is_cut=True)

    def mend(self):
        self.set(is_stalled=False, is_cut=False)

    def stop(self):
        self.set(is_over=True)
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Pair:
    """A primary and its replica, over a link that can be stalled, so that the replica lacks the tail."""

    def __init__(self, find, folder, *options):
        folder.mkdir(exist_ok=True)
        self.primary = Engine(find, folder / "a", *options)
        self.replica = Engine(find, folder / "b", *options)
        self.link = None
        self.follow()

    @property
    def url(self):
        """Both addresses, in an order that stays."""
        both = sorted([self.primary.port, self.replica.port])
        return "redis://" + ",".join(f"127.0.0.1:{port}" for port in both)

    def follow(self):
        """The replica follows the primary over a new link."""
        if self.link:
            self.link.stop()
        self.link = Relay(self.primary.address)
        self.replica.ask("REPLICAOF", *self.link.address)
        until(self.is_level)

    def is_level(self):
        if self.replica.info("master_link_status") != "up":
            return False
        # Read first, so that what comes in between does not look like what is missing.
        told = int(self.primary.info("master_repl_offset"))
        return int(self.replica.info("slave_repl_offset")) >= told

    def lacks_tail(self):
        """Whether the primary has something that the replica will never see."""
        return int(self.primary.info("master_repl_offset")) > int(self.replica.info("slave_repl_offset"))

    def fail_over(self):
        """The primary is lost, with what the replica has not; the replica is the primary from now on."""
        self.primary.kill()
        self.link.cut()
        self.replica.ask("REPLICAOF", "NO", "ONE")
        self.primary, self.replica = self.replica, self.primary

    def rejoin(self):
        """What was the primary comes back as a replica, and never as a second primary."""
        self.link.stop()
        self.link = Relay(self.primary.address)
        self.replica.start("--replicaof", "{} {}".format(*self.link.address))
        until(self.is_level)

    def stop(self):
        self.link.stop()
        self.primary.stop()
        self.replica.stop()


class Sentinel(Engine):
    """Watches a pair, and promotes the replica when the primary is gone."""

    NAME = "chat"

    def __init__(self, find, folder, primary):
        folder.mkdir()
        self.primary = primary
        self.config = folder / "sentinel.conf"
        super().__init__(find, folder)

    def start(self, *more):
        self.config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor {self.NAME} {self.primary.address[0]} {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {self.NAME} 1000\nsentinel failover-timeout {self.NAME} 5000\n"
        )
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [str(self.program), str(self.config), "--sentinel", *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self.answers)

    @property
    def url(self):
        return f"sentinel://127.0.0.1:{self.port}/{self.NAME}"

    def knows_a_replica(self):
        replicas = self.ask("SENTINEL", "REPLICAS", self.NAME)
        return any("slave" == dict(zip(one[::2], one[1::2], strict=True))["flags"] for one in replicas)

    def primary_port(self):
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)[1])


def run_with_engines():
    """Runs a command that finds the addresses of one engine of each kind in SARANG_ENGINES."""
    with tempfile.TemporaryDirectory() as folder:
        engines = [Engine(find, Path(folder) / find.__name__) for find in ENGINES]
        addresses = ",".join("{}:{}".format(*engine.address) for engine in engines)
        try:
            return subprocess.run(sys.argv[1:], env={**os.environ, "SARANG_ENGINES": addresses}, check=False).returncode
        finally:
            for engine in engines:
                engine.stop()


if __name__ == "__main__":
    sys.exit(run_with_engines())
