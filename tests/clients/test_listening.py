"""Where the server listens, seen by programs that are not ours: curl, systemd's launcher, and networks of other kinds."""

import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess

import pytest
from proxies import free_port
from websockets.sync.client import unix_connect

BIN = os.environ["SARANG_BIN"]
PATIENCE = 30


@contextlib.contextmanager
def running(*command, **options):
    """A command that is killed in the end. Its standard output is a pipe."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def addresses(process, count):
    """What stands behind `listening on` in the first lines."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the server never said where it listens"))
    signal.alarm(PATIENCE)
    try:
        lines = [process.stdout.readline().strip() for _ in range(count)]
    finally:
        signal.alarm(0)
    assert all(line.startswith("listening on ") for line in lines), lines
    return [line.removeprefix("listening on ") for line in lines]


def curl(*words):
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", str(PATIENCE), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_curl_and_a_chat_client_use_a_unix_socket(tmp_path):
    path = str(tmp_path / "a.sock")
    with running(BIN, "--listen", f"unix:{path}") as process:
        assert addresses(process, 1) == [f"unix:{path}"]
        room = json.dumps({"name": "tech"})
        created = curl("--unix-socket", path, "-H", "Content-Type: application/json", "-d", room, "http://chat.example/rooms")
        assert json.loads(created)["name"] == "tech"
        assert "<html" in curl("--unix-socket", path, "http://chat.example/")
        with unix_connect(path, "ws://chat.example/ws?username=kim") as chat:
            assert json.loads(chat.recv(PATIENCE))["type"] == "welcome"
            chat.send('{"type":"join","room":"tech"}')
            assert json.loads(chat.recv(PATIENCE))["type"] == "room_joined"
            chat.send('{"type":"chat","room":"tech","content":"hello"}')
            assert json.loads(chat.recv(PATIENCE))["content"] == "hello"
        history = curl("--unix-socket", path, "http://chat.example/rooms/tech/history")
        assert json.loads(history)["messages"][0]["content"] == "hello"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not os.path.exists(path)


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="there is no systemd-socket-activate")
def test_systemd_hands_its_sockets_over_at_the_first_connection(tmp_path):
    path, address = str(tmp_path / "a.sock"), f"127.0.0.1:{free_port()}"
    launcher = ["systemd-socket-activate", "-l", path, "-l", address]
    with running(*launcher, BIN, "--lobby", "", stderr=subprocess.PIPE) as process:
        # It says so when it listens.
        for expected in (path, address):
            assert expected in process.stderr.readline()
        assert json.loads(curl("--unix-socket", path, "http://chat.example/rooms")) == {"rooms": []}
        assert addresses(process, 2) == [f"unix:{path}", f"http://{address}"]
        assert json.loads(curl(f"http://{address}/rooms")) == {"rooms": []}
        # The launcher has become the server.
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        process.stderr.close()
    assert os.path.exists(path), "the file is systemd's"


@pytest.fixture
def secrets(tmp_path):
    file = tmp_path / "secrets"
    file.write_text(f"k:{'s' * 32}\n")
    return ["--secret-file", str(file)]


@pytest.fixture
def network():
    """A network of its own, with loopback: a command that runs others there. It takes root and `ip`."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and ip (iproute2)")
    name = f"sarang-{os.getpid()}-own"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    enter = ["ip", "netns", "exec", name]
    try:
        subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
        yield enter
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def setting(network, name, value):
    """Sets a sysctl of this network, where the system allows it."""
    file = f"/proc/sys/net/{name}"
    done = subprocess.run([*network, "sh", "-c", f"echo {value} > {file}"], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{file} cannot be set here: {done.stderr.strip()}")


def status(network, url):
    """The status of a GET in this network."""
    command = [*network, "curl", "--silent", "--noproxy", "*", "--output", os.devnull, "--write-out", "%{http_code}", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout


@pytest.mark.parametrize("address", ["[::]:8000", ":8000"])
def test_both_families_are_served_where_the_system_keeps_them_apart(network, secrets, address):
    setting(network, "ipv6/bindv6only", 1)
    with running(*network, BIN, "--listen", address, *secrets) as process:
        assert addresses(process, 1) == ["http://[::]:8000"]
        for host in ("127.0.0.1", "[::1]"):
            assert status(network, f"http://{host}:8000/livez") == "200"


def test_localhost_is_one_address_where_loopback_has_no_ipv6(network):
    setting(network, "ipv6/conf/lo/disable_ipv6", 1)
    with running(*network, BIN, "--listen", "localhost:8000") as process:
        assert addresses(process, 1) == ["http://127.0.0.1:8000"]
        assert process.stdout.readline().startswith("demo mode: ")
        assert status(network, "http://localhost:8000/livez") == "200"


# The number of socket(2).
SOCKET = {"x86_64": 41, "aarch64": 198}


def without_ipv6():
    """Makes socket(AF_INET6, …) fail in this process as it does where the system has no IPv6: a filter of seccomp(2)."""

    def instruction(code, value, if_true=0, if_false=0):
        return struct.pack("=HBBI", code, if_true, if_false, value)

    load, equal, leave = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    program = b"".join(
        [
            instruction(load, 0),  # the number of the system call
            instruction(equal, SOCKET[platform.machine()], 0, 3),
            instruction(load, 16),  # its first argument
            instruction(equal, socket.AF_INET6, 0, 1),
            instruction(leave, 0x00050000 | 97),  # EAFNOSUPPORT
            instruction(leave, 0x7FFF0000),  # allowed
        ]
    )
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


@pytest.mark.skipif(platform.machine() not in SOCKET, reason="the number of socket(2) is not known here")
def test_without_ipv6_every_address_is_every_one_of_ipv4(secrets):
    with running(BIN, "--listen", ":0", "--listen", "localhost:0", *secrets, preexec_fn=without_ipv6) as process:
        every, local = addresses(process, 2)
        assert every.startswith("http://0.0.0.0:")
        assert local.startswith("http://127.0.0.1:")
        for url in (every.replace("0.0.0.0", "127.0.0.1"), local):
            assert curl(f"{url}/livez") == "ok\n"
