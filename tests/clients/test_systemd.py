"""README's units for systemd: valid, closed, and no closer than the server's own system calls allow."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from conftest import PATIENCE
from listeners import over_httpx
from talkers import Websockets
from test_binary import sign_in

README = Path(__file__).parents[2] / "README.md"
# 10 is open to everything, 0 to nothing (systemd-analyze(1)): what a server that only has sockets should reach.
EXPOSURE_MAX = 1.5

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def units():
    """The service and the socket, as README has them."""
    blocks = re.findall(r"^```ini\n(\[Unit\]\n.*?)^```$", README.read_text(), re.M | re.S)
    (service,) = [block for block in blocks if "[Service]" in block]
    (socket_unit,) = [block for block in blocks if "[Socket]" in block]
    return service, socket_unit


def settings(unit, name):
    return re.findall(rf"^{name}=(.*)$", unit, re.M)


@pytest.fixture
def files(tmp_path):
    """The units as files, with the binary under test."""
    service, socket_unit = units()
    assert service.count("/usr/local/bin/sarang") == 1
    service = service.replace("/usr/local/bin/sarang", os.environ["SARANG_BIN"])
    for name, text in [("sarang.service", service), ("sarang.socket", socket_unit)]:
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_units_are_valid(files):
    code, said = analyze("verify", "--man=no", "--recursive-errors=no", str(files / "sarang.service"), str(files / "sarang.socket"))
    about_ours = [line for line in said.splitlines() if "sarang" in line]
    assert (code, about_ours) == (0, []), said


def test_the_service_is_exposed_to_little(files):
    bound = str(int(EXPOSURE_MAX * 10))
    code, said = analyze("security", "--offline=true", f"--threshold={bound}", "--no-pager", str(files / "sarang.service"))
    assert code == 0, said


def test_the_options_of_the_service_are_options(files):
    """`check` takes the same ones; here nobody answers it."""
    (start,) = settings(units()[0], "ExecStart")
    options = start.replace("%S", str(files)).split()[1:]
    done = subprocess.run([os.environ["SARANG_BIN"], "check", *options], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode in [0, 1], done.stderr


def calls_of(group):
    """The system calls of a group of systemd, with those of the groups in it."""
    code, said = analyze("syscall-filter", "--no-pager", group)
    assert code == 0, said
    names = [line.strip() for line in said.splitlines()[1:]]
    calls = {name for name in names if name and name[0] not in "@#"}
    return calls.union(*(calls_of(name) for name in names if name.startswith("@")))


def allowed_calls(unit):
    """What a SystemCallFilter allows: each line adds to it, or takes away what follows a tilde (systemd.exec(5))."""
    allowed = calls_of("@default")
    for line in settings(unit, "SystemCallFilter"):
        names = line.removeprefix("~").split()
        calls = set().union(*(calls_of(name) if name.startswith("@") else {name} for name in names))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


class Manager:
    """The end of systemd of a notify socket."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(PATIENCE)

    def until(self, word):
        while word not in self.socket.recv(4096).decode().splitlines():
            pass


@pytest.fixture
def folder():
    # The path of a unix socket is short, that of pytest's folders may not be.
    path = Path(tempfile.mkdtemp(prefix="sarang-"))
    yield path
    shutil.rmtree(path)


@needs_strace
def test_every_system_call_of_a_whole_life_passes_the_filters_of_the_service(start, folder):
    users, trace = folder / "users", folder / "trace"
    add = [os.environ["SARANG_BIN"], "user", "add", "홍길동", "--users", str(users)]
    subprocess.run(add, input="비밀번호\n", text=True, check=True, timeout=PATIENCE)
    manager = Manager(folder)
    # As a grandchild strace leaves the signals to the server.
    traced = ["strace", "-D", "-f", "-o", str(trace), os.environ["SARANG_BIN"]]
    server = start(
        "--users", str(users), "--listen", "localhost:0", "--listen", f"unix:{folder}/http", "--guests", "--log", "debug", "--data", str(folder / "store"),
        command=["env", f"NOTIFY_SOCKET={manager.path}", "WATCHDOG_USEC=400000", *traced],
    )
    manager.until("READY=1")
    assert server.rest.get("/dashboard").status_code == 200
    guest = Websockets(server.socket_url("김철수"))
    hong = Websockets(f"ws://{server.host}/ws?ticket={sign_in(server, '홍길동', '비밀번호')}")
    for talker in [guest, hong]:
        talker.expect("welcome")
        talker.join("tech")
    hong.send("chat", room="tech", content="안녕하세요!")
    hong.expect("chat")
    login = server.rest.post("/auth/login", json={"username": "홍길동", "password": "비밀번호"})
    server.rest.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    assert server.rest.get("/metrics").status_code == 200
    ticket = server.rest.post("/auth/ws-ticket").json()["ticket"]
    with over_httpx(f"{server.url}/sse/system?ticket={ticket}") as events:
        for _ in range(2):
            next(events)
    manager.until("WATCHDOG=1")
    server.process.send_signal(signal.SIGHUP)
    manager.until("RELOADING=1")
    manager.until("READY=1")
    guest.drop()
    server.process.send_signal(signal.SIGTERM)
    manager.until("STOPPING=1")
    hong.drop()
    assert server.stop(signal.SIGTERM) == 0
    check_trace(trace)


def check_trace(trace):
    deadline = time.monotonic() + PATIENCE
    while not re.search(r"\+\+\+ exited with 0 \+\+\+\n\Z", trace.read_text()):
        assert time.monotonic() < deadline, "strace has not written all"
        time.sleep(0.05)
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    made = {found for line in lines for found in re.findall(r"^(\w+)\(", line)}
    assert {"epoll_wait", "accept4", "sendto", "clone3", "execve"} & made, "nothing was traced"
    assert {"fdatasync", "flock"} <= made, "the store was not traced"
    service, _ = units()
    assert made - allowed_calls(service) == set()
    families = {found for line in lines for found in re.findall(r"^socket\((AF_\w+)", line)}
    (allowed,) = settings(service, "RestrictAddressFamilies")
    assert families and families <= set(allowed.split())
    # MemoryDenyWriteExecute: no page is both.
    assert not [line for line in lines if "PROT_WRITE|PROT_EXEC" in line]
