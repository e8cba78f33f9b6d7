"""Login, ticket and session as third-party clients see them, and `sarang user` at a terminal."""

import os
import pty
import socket
import subprocess
import termios
import threading
import time
from datetime import UTC, datetime

import pytest
from talkers import LIBRARIES

PATIENCE = 30
REFUSED = (4001, "유효하지 않은 티켓")
EXPIRED = (4002, "토큰이 만료되었습니다")


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def talk(request):
    """Opens connections through each library in turn."""
    talkers = []

    def talk(server, query):
        talkers.append(request.param(f"ws://{server.host}/ws{query}"))
        return talkers[-1]

    yield talk
    for talker in talkers:
        talker.drop()


def sign_in(server, username="admin", password="secret"):
    login = server.rest.post("/auth/login", json={"username": username, "password": password})
    assert login.status_code == 200, login.text
    assert login.json()["token_type"] == "bearer"
    return {"Authorization": f"Bearer {login.json()['access_token']}"}


def ticket(server, bearer):
    answer = server.rest.post("/auth/ws-ticket", headers=bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()["ticket"]


def users_file(tmp_path, **accounts):
    """A file that `sarang user add` wrote."""
    file = str(tmp_path / "users")
    for name, password in accounts.items():
        command = [os.environ["SARANG_BIN"], "user", "add", name, "--users", file]
        subprocess.run(command, input=password + "\n", text=True, check=True, timeout=PATIENCE)
    return file


def test_a_user_signs_in_and_talks(start, tmp_path, talk):
    server = start("--users", users_file(tmp_path, 홍길동="비밀번호 하나", 김철수="password two"))
    bearers = [sign_in(server, "홍길동", "비밀번호 하나"), sign_in(server, "김철수", "password two")]
    hong, kim = (talk(server, f"?ticket={ticket(server, bearer)}") for bearer in bearers)
    welcome = hong.expect("welcome")
    assert welcome["username"] == "홍길동"
    left = datetime.fromisoformat(welcome["expires_at"]) - datetime.now(UTC)
    assert 3500 < left.total_seconds() <= 3600
    kim.expect("welcome")
    hong.join("tech")
    kim.join("tech")
    assert hong.expect("user_joined")["username"] == "김철수"
    hong.send("chat", room="tech", content="안녕하세요!")
    assert kim.expect("chat")["username"] == "홍길동"
    assert server.rest.get("/rooms").status_code == 401
    (room,) = server.rest.get("/rooms", headers=bearers[0]).json()["rooms"]
    assert room["users"] == 2


def test_4001_is_seen_without_a_ticket_with_an_unknown_and_with_a_used_one(start, tmp_path, talk):
    server = start("--users", users_file(tmp_path, hong="password"))
    used = ticket(server, sign_in(server, "hong", "password"))
    talk(server, f"?ticket={used}").expect("welcome")
    for query in ["", "?username=guest", "?ticket=", "?ticket=unknown", f"?ticket={used}"]:
        assert talk(server, query).close_code() == REFUSED, query


def test_4001_is_seen_with_an_expired_ticket(start, talk):
    server = start("--ticket-ttl", "1")
    bearer = sign_in(server)

    def fresh_one_is_taken():
        asked = time.monotonic()
        try:
            talk(server, f"?ticket={ticket(server, bearer)}").expect("welcome")
        except Exception:
            # On a busy machine it may expire before it arrives.
            if time.monotonic() - asked < 1:
                raise
            return False
        return True

    late = ticket(server, bearer)
    time.sleep(1.2)
    assert talk(server, f"?ticket={late}").close_code() == REFUSED
    deadline = time.monotonic() + PATIENCE
    while not fresh_one_is_taken():
        assert time.monotonic() < deadline, "no ticket is used within its second"


def test_4002_is_seen_when_the_token_ends(start, talk):
    server = start("--token-ttl", "6")
    hong = talk(server, f"?ticket={ticket(server, sign_in(server))}")
    expires_at = datetime.fromisoformat(hong.expect("welcome")["expires_at"])
    hong.join("tech")
    assert hong.close_code() == EXPIRED
    late = (datetime.now(UTC) - expires_at).total_seconds()
    assert 0 <= late < PATIENCE, "the contract says a second; a busy machine may take a few"


def test_a_session_is_extended_before_it_ends(start, talk):
    server = start("--token-ttl", "8")
    bearer = sign_in(server)
    hong = talk(server, f"?ticket={ticket(server, bearer)}")
    first = hong.expect("welcome")["expires_at"]
    other = talk(server, f"?ticket={ticket(server, bearer)}")
    other.expect("welcome")
    hong.join("tech")
    # The other session ends as long before this one's new end as the renewal came after the login.
    time.sleep(4)
    renewed = server.rest.post("/auth/refresh", headers=bearer).json()["access_token"]
    hong.send("auth", ticket=ticket(server, {"Authorization": f"Bearer {renewed}"}))
    welcome = hong.expect("welcome")
    assert welcome["username"] == "admin"
    assert welcome["expires_at"] > first
    assert other.close_code() == EXPIRED
    hong.send("chat", room="tech", content="아직 있어요")
    assert hong.expect("chat")["content"] == "아직 있어요"
    assert hong.close_code() == EXPIRED


def test_a_logout_is_seen_by_its_own_connections_only(server, talk):
    bearers = [sign_in(server), sign_in(server)]
    ours, others = (talk(server, f"?ticket={ticket(server, bearer)}") for bearer in bearers)
    ours.expect("welcome")
    others.expect("welcome")
    void = ticket(server, bearers[0])
    assert server.rest.post("/auth/logout", headers=bearers[0]).status_code == 204
    assert ours.close_code()[0] == 4002
    assert talk(server, f"?ticket={void}").close_code() == REFUSED
    refused = server.rest.post("/auth/ws-ticket", headers=bearers[0])
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    others.join("tech")


def test_a_ticket_used_by_two_connections_at_once_opens_one(server, talk):
    bearer = sign_in(server)
    for _ in range(10):
        query, ends = f"?ticket={ticket(server, bearer)}", []
        barrier = threading.Barrier(2)

        def race(query=query, ends=ends, barrier=barrier):
            barrier.wait()
            talker = talk(server, query)
            try:
                talker.expect("welcome")
                ends.append("welcome")
            except Exception:
                ends.append("refused")

        racers = [threading.Thread(target=race) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(ends) == ["refused", "welcome"]


def wait_for_silence(terminal):
    """Waits until echo is off: the question may be on the screen a moment before."""
    deadline = time.monotonic() + PATIENCE
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        assert time.monotonic() < deadline, "the password would be shown"
        time.sleep(0.001)


def test_a_password_is_asked_for_at_a_terminal_without_echo(start, tmp_path):
    file, password = str(tmp_path / "users"), "비밀번호 at a terminal"
    process, terminal = pty.fork()
    if process == 0:
        os.execv(os.environ["SARANG_BIN"], ["sarang", "user", "add", "홍길동", "--users", file])
    shown = b""
    typed = 0
    try:
        while chunk := os.read(terminal, 1024):
            shown += chunk
            # Some programs ask twice; each question ends without a newline.
            if typed < 2 and not shown.endswith(b"\n"):
                wait_for_silence(terminal)
                os.write(terminal, password.encode() + b"\n")
                typed += 1
    except OSError:
        pass  # The terminal of a process that has ended.
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert typed >= 1, "nothing was asked"
    assert "terminal" not in shown.decode().replace(file, ""), "the password is shown"
    sign_in(start("--users", file), "홍길동", password)


def test_a_page_of_an_allowed_origin_signs_in(start, tmp_path, talk):
    file = users_file(tmp_path, hong="password")
    server = start("--users", file, "--allow-origin", "https://app.example")
    for target in ["login", "refresh", "ws-ticket", "logout"]:
        for origin, allowed in [("https://app.example", True), ("https://evil.example", False)]:
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, content-type",
            }
            granted = server.rest.options(f"/auth/{target}", headers=asked).headers
            assert (granted.get("access-control-allow-origin") == origin) is allowed
            if allowed:
                fields = granted["access-control-allow-headers"].lower()
                assert "authorization" in fields and "content-type" in fields
                assert "POST" in granted["access-control-allow-methods"]
    page, credentials = {"Origin": "https://app.example"}, {"username": "hong", "password": "password"}
    login = server.rest.post("/auth/login", json=credentials, headers=page)
    assert login.headers["access-control-allow-origin"] == "https://app.example"
    wrong = server.rest.post("/auth/login", json={**credentials, "password": "no"}, headers=page)
    assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (401, "https://app.example")
    foreign = server.rest.post("/auth/login", json=credentials, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "forbidden_origin")
    assert "access-control-allow-origin" not in foreign.headers
    assert "access_token" not in foreign.text


def memory_holds(server, text):
    """Whether the process has a text anywhere in its memory."""
    pid = server.process.pid
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            span, access = line.split()[:2]
            if access.startswith("rw"):
                start, end = (int(address, 16) for address in span.split("-"))
                try:
                    memory.seek(start)
                    held = text.encode() in memory.read(end - start)
                except OSError:
                    continue  # The region was unmapped meanwhile.
                if held:
                    return True
    return False


def test_no_password_stays_in_memory(start, tmp_path):
    server = start("--users", users_file(tmp_path, hong="the right password of hong"))

    def send(password, fields="", cut=0):
        body = f'{{"username":"hong","password":"{password}","more":1}}'.encode()
        host, port = server.host.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            head = f"POST /auth/login HTTP/1.1\r\nHost: {server.host}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[: len(body) - cut])
            if not cut:
                assert connection.recv(65536)

    try:
        memory_holds(server, "anything")
    except PermissionError:
        pytest.skip("the memory of other processes cannot be read here")
    failures = []
    for name, password, how in [
        ("right", "the right password of hong", {}),
        ("wrong", "the wrong password of hong", {}),
        ("escaped", "the escaped password \\u00e9 of hong", {}),
        ("bad JSON", 'the " unescaped secret of hong', {}),
        ("another type", "the textual password of hong", {"fields": "Content-Type: text/plain\r\n"}),
        ("another origin", "the foreign password of hong", {"fields": "Origin: https://evil.example\r\n"}),
        ("cut off", "the unfinished password of hong", {"cut": 5}),
    ]:
        send(password, **how)
        needle = password.split('"')[-1].split("\\")[0]
        deadline = time.monotonic() + PATIENCE
        # The thread that checks passwords may wipe its copy a moment after the answer.
        while held := memory_holds(server, needle):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if held:
            failures.append(name)
    assert not failures
