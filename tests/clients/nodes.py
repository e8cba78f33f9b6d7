"""Nodes that share an engine, each at an address of its own, and a load balancer in front of them."""

import os
import re
import signal
import subprocess
from urllib.parse import quote

import httpx

from engines import until
from proxies import PATIENCE, Proxy, lines_of

# Nobody leaves late, and a load may be as fast as it can.
QUICK = ["--presence-grace", "0", "--messages-per-second", "0"]


class Node:
    """A running sarang; it starts again at the same address."""

    def __init__(self, address, engine_url, folder, *options):
        self.address, self.engine_url, self.folder, self.options = address, engine_url, folder, options
        folder.mkdir()
        self.log = folder / "log"
        self.host = f"{address}:0"
        self.start()

    def start(self):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SARANG_")}
        command = [os.environ["SARANG_BIN"], "--listen", self.host, "--lobby", "", "--cluster", self.engine_url]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--cluster-node", self.address, "--log", "info", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=clean,
                text=True,
            )
        prefix = "listening on http://"
        line = next((line for line in self.process.stdout if line.startswith(prefix)), None)
        assert line, self.log.read_text()
        self.host = line.removeprefix(prefix).strip()
        self.url = f"http://{self.host}"
        self.rest = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    def socket_url(self, name, key=None):
        held = f"&key={quote(key)}" if key else ""
        return f"ws://{self.host}/ws?username={quote(name)}{held}"

    def is_ready(self):
        return self.rest.get("/readyz").status_code == 200

    def is_unready(self):
        """Not ready, and alive all the same."""
        return self.rest.get("/readyz").status_code == 503 and self.rest.get("/livez").status_code == 200

    def figure(self, name):
        return float(re.search(rf"^sarang_cluster_{name} (\S+)$", self.rest.get("/metrics").text, re.MULTILINE)[1])

    def logged(self, event):
        """The lines of the log about an event."""
        return [line for line in self.log.read_text().splitlines() if f" event={event}" in line]

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.end(signal.SIGKILL)

    def end(self, how=signal.SIGTERM):
        """Returns the status with which it ended."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        self.rest.close()
        self.process.stdout.close()
        return status


class Nodes(list):
    """Three nodes on one engine, or on what leads each of them to it."""

    def __init__(self, urls, folder, *options):
        super().__init__()
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.urls, self.options = urls, options

    def begin(self, *, ready=True):
        for number, url in enumerate(self.urls):
            self.append(Node(f"127.0.0.{number + 2}", url, self.folder / f"node{number}", *self.options))
        if ready:
            self.wait_until_ready()
        return self

    def wait_until_ready(self):
        """All are ready, and each has seen the others."""
        for node in self:
            until(node.is_ready)
        for node in self:
            until(lambda node=node: node.figure("nodes") == len(self))

    def stop(self):
        for node in self:
            if node.process.poll() is None:
                node.resume()
            if not node.process.stdout.closed:
                node.kill()


def haproxy(folder, port, nodes):
    """One address for all, with the lines of README.md: a node that is not ready gets nobody new, and keeps whom it has."""
    names = {f"10.0.0.{number}:8000": node.host for number, node in enumerate(nodes, start=11)}
    # It notices ten times as soon that a node stops.
    others = [("bind :80", f"bind 127.0.0.1:{port}"), ("chat.example.com", "127.0.0.1"), ("inter 2s", "inter 200ms")]
    config = folder / "haproxy.cfg"
    config.write_text(lines_of("haproxy-nodes", *names.items(), *others))
    return ["haproxy", "-db", "-f", config]


class Front(Proxy):
    """HAProxy before all nodes; it looks like one node to a client."""

    def __init__(self, folder, nodes):
        folder.mkdir()
        super().__init__(haproxy, folder, nodes)

    def socket_url(self, name, key=None):
        return Node.socket_url(self, name, key)
