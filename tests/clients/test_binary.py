"""The one file that is deployed: it needs no other files."""

import os
import shutil
import signal
import struct
import subprocess

import pytest
from listeners import over_httpx
from talkers import LIBRARIES

BIN = os.environ["SARANG_BIN"]
PATIENCE = 30

PT_INTERP = 3


def program_header_types(path):
    """The types of an ELF file's program headers (elf(5)), 64 bits, little-endian."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return [struct.unpack_from("<I", data, offset + n * size)[0] for n in range(count)]


def test_it_needs_no_shared_library():
    archive = subprocess.run(["cc", "-print-file-name=libc.a"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(archive):
        pytest.skip("the C library has no static form here")
    assert PT_INTERP not in program_header_types(BIN)


@pytest.fixture
def empty_root(tmp_path):
    """A command that runs the binary in a root directory without any other file: no /proc, no /dev, no library."""
    if PT_INTERP in program_header_types(BIN):
        pytest.skip("the binary is dynamic here")
    shutil.copy(BIN, tmp_path / "sarang")
    enter = ["chroot", str(tmp_path)]
    if os.geteuid() != 0:
        enter = ["unshare", "-r", *enter]
        if subprocess.run([*enter, "/sarang", "--version"], capture_output=True, timeout=PATIENCE).returncode != 0:
            pytest.skip("this user may not change the root directory")
    return [*enter, "/sarang"]


def sign_in(server, username, password):
    login = server.rest.post("/auth/login", json={"username": username, "password": password})
    assert login.status_code == 200, login.text
    bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    answer = server.rest.post("/auth/ws-ticket", headers=bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()["ticket"]


def test_the_whole_server_runs_in_an_empty_root_directory(start, empty_root):
    server = start(command=empty_root)
    assert server.rest.get("/").status_code == 200
    # As a container asks for its health.
    subprocess.run([*empty_root, "check", "--listen", server.host], check=True, timeout=PATIENCE)
    guest = LIBRARIES[0](server.socket_url("홍길동"))
    admin = LIBRARIES[1](f"ws://{server.host}/ws?ticket={sign_in(server, 'admin', 'secret')}")
    for talker, name in [(guest, "홍길동"), (admin, "admin")]:
        assert talker.expect("welcome")["username"] == name
        talker.join("tech")
    assert guest.expect("user_joined")["username"] == "admin"
    admin.send("chat", room="tech", content="안녕하세요!")
    for talker in [guest, admin]:
        assert talker.expect("chat")["content"] == "안녕하세요!"
        talker.drop()
    with over_httpx(f"{server.url}/sse/system") as events:
        for _ in range(2):
            figures = next(events).data
            # Without /proc the server cannot know CPU and memory, and must not invent values.
            assert figures["cpu"] is None and figures["memory"] is None, figures
            assert 0 <= figures["disk"] <= 100
    page = server.rest.get("/metrics").text
    assert "sarang_messages_total 1\n" in page
    assert "resident_memory" not in page
    assert server.stop(signal.SIGTERM) == 0


def test_accounts_are_kept_in_an_empty_root_directory(start, empty_root):
    command = [*empty_root, "user", "add", "홍길동", "--users", "/users"]
    subprocess.run(command, input="비밀번호\n", text=True, check=True, timeout=PATIENCE)
    server = start("--users", "/users", command=empty_root)
    hong = LIBRARIES[0](f"ws://{server.host}/ws?ticket={sign_in(server, '홍길동', '비밀번호')}")
    assert hong.expect("welcome")["username"] == "홍길동"
    hong.drop()
    assert server.stop(signal.SIGTERM) == 0
