"""Where the server listens, tried with programs that are not ours: curl and systemd's launcher of activated sockets."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from conftest import PATIENCE

LAUNCHER = shutil.which("systemd-socket-activate")


@pytest.fixture
def folder():
    # The path of a unix socket is short, that of pytest's folders may not be.
    path = Path(tempfile.mkdtemp(prefix="sarang-"))
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_talks_over_a_unix_socket(folder, start):
    path = folder / "s"
    server = start("--listen", f"unix:{path}")
    body = json.dumps({"name": "방"})
    said = subprocess.run(
        ["curl", "-sS", "--unix-socket", path, "-d", body, "-H", "Content-Type: application/json", "http://chat.example/rooms"],
        capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["name"] == "방"
    assert [room["name"] for room in server.rest.get("/rooms").json()["rooms"]] == ["방"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def activated(listen):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SARANG_")}
    command = [LAUNCHER, "-l", listen, os.environ["SARANG_BIN"]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean)


def first_request(family, address):
    """The answer to a request: the launcher listens from its start on, and starts the server with the first connection."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket(family) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect(address)
            except (ConnectionRefusedError, FileNotFoundError):
                assert time.monotonic() < deadline
                continue
            client.sendall(b"GET /rooms HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.skipif(not LAUNCHER, reason="systemd is not installed")
def test_a_socket_that_systemd_hands_over_is_used(folder):
    port = free_port()
    path = folder / "s"
    for listen, family, address, line in [
        (f"127.0.0.1:{port}", socket.AF_INET, ("127.0.0.1", port), f"listening on http://127.0.0.1:{port}\n"),
        (str(path), socket.AF_UNIX, str(path), f"listening on unix:{path}\n"),
    ]:
        process = activated(listen)
        try:
            answer = first_request(family, address)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"rooms": []}
            assert process.stdout.readline() == line
            # Nothing beside it: the default address is for a start without it.
            assert process.stdout.readline().startswith("demo mode:")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        # The file is systemd's, not ours.
        assert family == socket.AF_INET or path.exists()


@pytest.mark.skipif(not LAUNCHER, reason="systemd is not installed")
def test_the_demo_does_not_serve_a_socket_that_others_reach():
    port = free_port()
    process = activated(f"0.0.0.0:{port}")
    # The connection ends with the server: cleanly, or with what it has not read.
    with contextlib.suppress(ConnectionResetError):
        assert first_request(socket.AF_INET, ("127.0.0.1", port)) == b""
    assert process.wait(PATIENCE) == 1
    assert "sarang user add" in process.stderr.read()
