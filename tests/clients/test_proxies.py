"""nginx, Caddy and HAProxy in front of the server, with the lines of README.md."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from listeners import over_httpx
from talkers import LIBRARIES, Websockets

# Not a threshold: after this time, an expected answer will never come.
PATIENCE = 30
README = Path(__file__).parents[2] / "README.md"
# A user's PATH may lack the folder of Debian's servers.
FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def lines_of(language, *changes):
    """The block of README.md in this language, with other addresses and ports only."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    for old, new in changes:
        assert block.count(old) == 1, f"{old} is not in the lines for {language}"
        block = block.replace(old, new)
    return block


def nginx(folder, port, server):
    block = lines_of("nginx", ("listen 80;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8000", server.host))
    temporary = "".join(
        f"{what}_temp_path {folder}/{what};\n" for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    )
    outside = f"daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n"
    config = folder / "nginx.conf"
    config.write_text(f"{outside}http {{\naccess_log off;\n{temporary}{block}}}\n")
    return ["nginx", "-e", "stderr", "-p", folder, "-c", config]


def nginx_with_prefix(folder, port, server):
    """The same under a prefix, which it removes."""
    command = nginx(folder, port, server)
    text = command[-1].read_text()
    for old, new in [("location / {", "location /chat/ {"), ("proxy_pass http://sarang;", "proxy_pass http://sarang/;")]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    command[-1].write_text(text)
    return command


def caddy(folder, port, server):
    block = lines_of("caddyfile", ("chat.example.com", f"http://127.0.0.1:{port}"), ("127.0.0.1:8000", server.host))
    config = folder / "Caddyfile"
    # Otherwise it listens on every address.
    config.write_text(f"{{\nadmin off\ndefault_bind 127.0.0.1\n}}\n{block}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", config]


def haproxy(folder, port, server):
    block = lines_of("haproxy", ("bind :80", f"bind 127.0.0.1:{port}"), ("127.0.0.1:8000", server.host))
    config = folder / "haproxy.cfg"
    config.write_text(block)
    return ["haproxy", "-db", "-f", config]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Proxy:
    """A running proxy; it looks like the server to a client."""

    def __init__(self, configure, folder, server):
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self.rest = self.client()
        name, *arguments = configure(folder, port, server)
        program = shutil.which(name, path=FOLDERS)
        assert program, f"{name} is not installed; tests/run installs it"
        homes = {name: str(folder) for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"]}
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **homes}
            )
        self.wait_until_it_listens(port)

    def wait_until_it_listens(self, port):
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), PATIENCE):
                return
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def client(self, source="127.0.0.1"):
        """A client at another address of the loopback."""
        transport = httpx.HTTPTransport(local_address=source)
        return httpx.Client(base_url=self.url, timeout=PATIENCE, transport=transport)

    def stop(self):
        self.rest.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait(PATIENCE)


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


@pytest.fixture
def server(start):
    return start("--trusted-proxy", "127.0.0.1", "--log", "info")


@pytest.fixture(params=[nginx, caddy, haproxy], ids=lambda configure: configure.__name__)
def proxy(request, put, server):
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


def sign_in(client, password="secret", **options):
    return client.post("/auth/login", json={"username": "admin", "password": password}, **options)


def post(proxy, **figures):
    """Posts figures of a back end and returns the id of their event."""
    response = proxy.rest.post("/events/business", json=figures)
    assert response.status_code == 200, response.text
    return response.json()["id"]


def test_pages_and_rooms_come_through(proxy):
    page = proxy.rest.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    again = proxy.rest.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304
    assert proxy.rest.get("/static/sarang.js").status_code == 200
    made = proxy.rest.post("/rooms", json={"name": "기술", "max_users": 50})
    assert made.status_code == 201
    assert proxy.rest.get(made.headers["Location"]).json()["max_users"] == 50
    assert proxy.rest.get("/rooms/기술/history").json()["messages"] == []
    assert proxy.rest.post("/rooms", json={"name": "기술"}).json()["error"]["code"] == "room_exists"
    assert proxy.rest.head("/rooms").status_code == 200


def test_users_chat_both_ways_and_one_of_them_has_signed_in(proxy, talk):
    token = sign_in(proxy.rest).json()["access_token"]
    answer = proxy.rest.post("/auth/ws-ticket", headers={"Authorization": f"Bearer {token}"})
    first, second = LIBRARIES
    admin = talk(f"?ticket={answer.json()['ticket']}", first)
    assert admin.expect("welcome")["username"] == "admin"
    guest = talk("?username=%ED%99%8D", second)
    assert guest.expect("welcome")["username"] == "홍"
    admin.join("tech")
    guest.join("tech")
    assert admin.expect("user_joined")["username"] == "홍"
    for number in range(20):
        speaker = (admin, guest)[number % 2]
        speaker.send("chat", room="tech", content=f"{number} 안녕하세요! 👋")
        assert admin.expect("chat") == guest.expect("chat")
    large = "가" * 4096
    guest.send("chat", room="tech", content=large)
    assert admin.expect("chat")["content"] == large
    guest.close()
    assert admin.expect("user_left")["username"] == "홍"


def test_events_come_at_once_and_a_stream_goes_on_where_it_was_cut(proxy):
    with over_httpx(f"{proxy.url}/sse/business") as events:
        next(events)
        started = time.monotonic()
        for number in range(5):
            posted = post(proxy, number=number)
            while next(events).id != str(posted):
                pass
        # A proxy that keeps events back has each wait for the next one, 10 s later: 40 s for all five.
        assert time.monotonic() - started < 40
    missed = [str(post(proxy, number=number)) for number in range(5)]
    with over_httpx(f"{proxy.url}/sse/business", last_event_id=posted) as events:
        seen = [next(events).id]
        while seen[-1] != missed[-1]:
            seen.append(next(events).id)
    # The clock may send figures in between.
    assert [one for one in seen if one in missed] == missed
    assert int(seen[0]) > posted


def test_a_stream_whose_client_has_gone_ends_at_the_server(server, proxy):
    def subscribers():
        (line,) = re.findall(r'^sarang_subscribers\{channel="business"\} (\d+)$', server.rest.get("/metrics").text, re.M)
        return int(line)

    with over_httpx(f"{proxy.url}/sse/business") as events:
        next(events)
        assert subscribers() == 1
    deadline = time.monotonic() + PATIENCE
    while subscribers():
        assert time.monotonic() < deadline
        time.sleep(0.02)


FORGED = [
    {},
    {"X-Forwarded-For": "192.0.2.{n}"},
    {"Forwarded": "for=192.0.2.{n}"},
    {"X-Forwarded-For": "192.0.2.{n}, 127.0.0.1", "Forwarded": 'for="192.0.2.{n}", for=127.0.0.1'},
    {"X-Forwarded-For": "unknown", "Forwarded": 'for="'},
]


def test_each_client_has_its_own_throttle_and_cannot_choose_its_address(server, proxy):
    with proxy.client("127.0.0.2") as guesser, proxy.client("127.0.0.3") as owner:
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 50, statuses
            statuses.append(sign_in(guesser, "wrong").status_code)
        assert statuses.index(429) >= 5
        # Now and then one more is checked, but an address of its own would have five free guesses.
        for fields in FORGED:
            forged = [{name: value.format(n=number) for name, value in fields.items()} for number in range(3)]
            answers = [sign_in(guesser, "wrong", headers=headers) for headers in forged]
            throttled = [answer for answer in answers if answer.status_code == 429]
            assert throttled and throttled[0].headers["Retry-After"], forged
        assert sign_in(owner, "wrong").status_code == 401
        assert sign_in(owner).status_code == 200


def test_the_log_has_the_address_of_the_client(start, put, tmp_path):
    log = tmp_path / "sarang.log"
    # A shell, so that stderr is a file.
    command = ["sh", "-c", f'exec "$0" "$@" 2>"{log}"', os.environ["SARANG_BIN"]]
    for configure in [nginx, caddy, haproxy]:
        server = start("--trusted-proxy", "127.0.0.1", "--log", "info", command=command)
        proxy = put(configure, server)
        for fields in FORGED[1:]:
            forged = {name: value.format(n=1) for name, value in fields.items()}
            with proxy.client("127.0.0.2") as client:
                assert sign_in(client, headers=forged).status_code == 200
        server.stop()
        lines = log.read_text().splitlines()
        logins = [line for line in lines if "event=login" in line]
        assert len(logins) == len(FORGED) - 1, configure.__name__
        assert all(line.endswith("address=127.0.0.2") for line in logins), (configure.__name__, logins)
        assert not any("event=forwarded" in line for line in lines), (configure.__name__, lines)


def test_the_origin_of_a_page_is_that_of_the_proxy_and_no_other(proxy, talk):
    for origin, made, welcomed in [(proxy.url, 201, True), ("http://a.example", 403, False)]:
        answer = proxy.rest.post("/rooms", json={"name": "tech"}, headers={"Origin": origin})
        assert answer.status_code == made, answer.text
        guest = talk("?username=guest", origin=origin)
        if welcomed:
            guest.expect("welcome")
        else:
            assert guest.close_code()[0] == 4003
    # The port belongs to the origin.
    answer = proxy.rest.post("/rooms", json={"name": "a"}, headers={"Origin": "http://127.0.0.1"})
    assert answer.status_code == 403


def test_pages_come_under_a_prefix(put, server):
    proxy = put(nginx_with_prefix, server)
    page = proxy.rest.get("/chat/")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert proxy.rest.get("/").status_code == 404
