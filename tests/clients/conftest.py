"""Starts the binary that SARANG_BIN names, and connects to it with third-party clients."""

import os
import signal
import subprocess
from urllib.parse import quote

import httpx
import pytest

# What pytest finds here by name.
from clusters import (  # noqa: F401
    come_in,
    ends,
    find,
    nodes,
    shared_engines,
    start_engine,
    start_front,
    start_nodes,
    start_pair,
    start_relay,
    start_sentinel,
)
from proxies import EVERY, Proxy
from talkers import LIBRARIES, Websockets

# Not a threshold: after this time, an expected answer will never come.
PATIENCE = 30


def pytest_configure(config):
    config.addinivalue_line("markers", "cluster_options(options): more options for the nodes of a test")


class Server:
    """A running sarang."""

    def __init__(self, *options, command=()):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SARANG_")}
        self.process = subprocess.Popen(
            [*(command or [os.environ["SARANG_BIN"]]), "--listen", "127.0.0.1:0", "--lobby", "", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=clean,
            text=True,
        )
        prefix = "listening on http://"
        line = next((line for line in self.process.stdout if line.startswith(prefix)), None)
        assert line, "the server never said where it listens"
        self.host = line.removeprefix(prefix).strip()
        self.url = f"http://{self.host}"
        self.rest = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    def socket_url(self, name):
        return f"ws://{self.host}/ws?username={quote(name)}"

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@pytest.fixture
def start():
    """Starts servers with options, through another command if one is given; they end with the test."""
    servers = []

    def start(*options, command=()):
        servers.append(Server(*options, command=command))
        return servers[-1]

    yield start
    for server in servers:
        server.rest.close()
        server.stop(signal.SIGKILL)
        server.process.stdout.close()


@pytest.fixture
def server(start):
    return start()


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def guest(request, server):
    """Guests who connect through each library in turn."""
    guests = []

    def enter(name, at=server):
        guests.append(request.param(at.socket_url(name)))
        assert guests[-1].expect("welcome")["username"] == name
        return guests[-1]

    enter.library = request.param
    yield enter
    for one in guests:
        one.drop()


@pytest.fixture
def put(tmp_path):
    """Puts a proxy in front of a server."""
    proxies = []

    def put(configure, server):
        folder = tmp_path / str(len(proxies))
        folder.mkdir()
        proxies.append(Proxy(configure, folder, server))
        return proxies[-1]

    yield put
    for proxy in proxies:
        proxy.stop()


@pytest.fixture(params=EVERY, ids=lambda configure: configure.__name__)
def proxy(request, put, server):
    """Each proxy in turn."""
    return put(request.param, server)


@pytest.fixture
def talk(proxy):
    """Opens WebSockets through the proxy."""
    talkers = []

    def talk(query, library=Websockets, **options):
        talkers.append(library(f"ws://{proxy.host}/ws{query}", **options))
        return talkers[-1]

    yield talk
    for talker in talkers:
        talker.drop()
