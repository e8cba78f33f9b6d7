"""nginx, Caddy, HAProxy, Apache, Varnish and lighttpd in front of the server, with the lines of README.md."""

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from listeners import over_httpx
from proxies import EVERY, PATIENCE, nginx_with_prefix
from talkers import LIBRARIES


@pytest.fixture
def server(start):
    # A user who leaves is gone at once, and no heartbeat pushes an event that a proxy holds back.
    return start("--trusted-proxy", "127.0.0.1", "--log", "info", "--presence-grace", "0", "--heartbeat", "3600")


def sign_in(client, password="secret", **options):
    return client.post("/auth/login", json={"username": "admin", "password": password}, **options)


def post(proxy, **data):
    """Posts an event of a channel of its own, in which nobody else tells anything, and returns its id."""
    response = proxy.rest.post("/events/tried", json=data)
    assert response.status_code == 200, response.text
    return response.json()["id"]


def test_pages_come_compressed_and_are_not_sent_again(proxy):
    for target, kind in [("/", "text/html"), ("/static/sarang.js", "text/javascript"), ("/static/chat.css", "text/css")]:
        plain = proxy.rest.get(target, headers={"Accept-Encoding": "identity"})
        page = proxy.rest.get(target, headers={"Accept-Encoding": "gzip"})
        assert (plain.status_code, page.status_code) == (200, 200)
        assert page.headers["Content-Type"].startswith(kind)
        assert page.headers["Content-Encoding"] == "gzip"
        assert page.content == plain.content
        # Some make the compressed page's tag weak, or append the coding.
        for known in [plain.headers["ETag"], page.headers["ETag"]]:
            again = proxy.rest.get(target, headers={"If-None-Match": known, "Accept-Encoding": "gzip"})
            assert again.status_code == 304, known
        head = proxy.rest.head(target)
        assert (head.status_code, head.content) == (200, b"")


def test_rooms_come_through(proxy):
    made = proxy.rest.post("/rooms", json={"name": "기술", "max_users": 50})
    assert made.status_code == 201
    assert proxy.rest.get(made.headers["Location"]).json()["max_users"] == 50
    assert proxy.rest.get("/rooms/기술/history").json()["messages"] == []
    assert proxy.rest.post("/rooms", json={"name": "기술"}).json()["error"]["code"] == "room_exists"
    assert proxy.rest.head("/rooms").status_code == 200


def test_a_chunked_upload_comes_through(proxy):
    parts = [b'{"name": ', b'"parts"', b', "max_users"', b": 7}"]
    made = proxy.rest.post("/rooms", content=iter(parts), headers={"Content-Type": "application/json"})
    assert made.status_code == 201, made.text
    assert proxy.rest.get("/rooms/parts").json()["max_users"] == 7


def raw_status(proxy, target):
    """The status of a GET for these bytes, which no library would send as they are."""
    with proxy.connect() as client:
        client.sendall(b"GET " + target + f" HTTP/1.1\r\nHost: {proxy.host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return int(answer.split()[1])


def test_names_of_rooms_arrive_as_they_are(proxy):
    for name, target in [
        ("방", b"/rooms/%EB%B0%A9"),
        ("말", "/rooms/말".encode()),
        ("a/b", b"/rooms/a%2Fb"),
        ("a%2Fb", b"/rooms/a%252Fb"),
        ("a b+c", b"/rooms/a%20b+c"),
        ("x?y#z", b"/rooms/x%3Fy%23z"),
        ("..a", b"/rooms/..a"),
        ("a//b", b"/rooms/a%2f%2Fb"),
        ("a;b\\c", b"/rooms/a;b%5Cc"),
    ]:
        made = proxy.rest.post("/rooms", json={"name": name})
        assert made.status_code == 201, made.text
        assert proxy.rest.get(made.headers["Location"]).json()["name"] == name
        is_refused = not target.isascii() and proxy.name == "haproxy"
        assert raw_status(proxy, target) == (400 if is_refused else 200), name


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


def test_a_whisper_comes_through(proxy, talk):
    one, other = talk("?username=one"), talk("?username=other")
    for each in [one, other]:
        each.expect("welcome")
    one.send("whisper", to="other", content="비밀")
    assert one.expect("whisper") == other.expect("whisper")


def test_a_message_of_64_kib_comes_through(proxy, talk):
    guest = talk("?username=guest")
    guest.expect("welcome")
    # The largest that the server takes; it has no such type.
    large = json.dumps({"type": "", "padding": ""})
    guest.send_text(large.replace('"padding": "', '"padding": "' + "x" * (65536 - len(large))))
    assert guest.expect("error")["code"] == "unknown_type"
    guest.send_text("x" * 65537)
    assert guest.close_code()[0] == 1009


def test_a_drain_is_told_to_those_who_are_connected(server, proxy, talk):
    guests = [talk(f"?username={library.__name__}", library) for library in LIBRARIES]
    for guest in guests:
        guest.expect("welcome")
    server.process.terminate()
    assert [guest.close_code()[0] for guest in guests] == [1001, 1001]
    assert server.stop() == 0


@pytest.mark.parametrize("length", [0, 800], ids=["small", "large"])
def test_events_come_at_once_and_a_stream_goes_on_where_it_was_cut(proxy, length):
    # Some compress only what is large, and hold it back only then.
    data = {"x": "x" * length}
    posted = post(proxy, **data)
    with over_httpx(f"{proxy.url}/sse/tried") as events:
        assert next(events).id == str(posted)
        for _ in range(5):
            posted = post(proxy, **data)
            # A proxy that holds an event back until there are more never tells this one.
            assert next(events).id == str(posted)
    missed = [str(post(proxy, **data)) for _ in range(5)]
    with over_httpx(f"{proxy.url}/sse/tried", last_event_id=posted) as events:
        assert [next(events).id for _ in missed] == missed


def test_a_stream_whose_client_has_gone_ends_at_the_server(server, proxy):
    def subscribers():
        (line,) = re.findall(r'^sarang_subscribers\{channel="other"\} (\d+)$', server.rest.get("/metrics").text, re.M)
        return int(line)

    post(proxy, number=0)
    with over_httpx(f"{proxy.url}/sse/tried") as events:
        next(events)
        assert subscribers() == 1
    deadline = time.monotonic() + PATIENCE
    while subscribers():
        assert time.monotonic() < deadline
        # Some proxies learn of it when they write.
        post(proxy, number=1)


FORGED = [
    {"X-Forwarded-For": "192.0.2.{n}"},
    {"Forwarded": "for=192.0.2.{n}"},
    {"X-Forwarded-For": "192.0.2.{n}, 127.0.0.1", "Forwarded": 'for="192.0.2.{n}", for=127.0.0.1'},
    {"X-Forwarded-For": "unknown", "Forwarded": 'for="'},
]


def test_each_client_has_its_own_throttle_and_cannot_choose_its_address(proxy):
    with proxy.client("127.0.0.2") as guesser, proxy.client("127.0.0.3") as owner, ThreadPoolExecutor(20) as threads:

        def guess(attempt):
            number, fields = attempt
            headers = {name: value.format(n=number) for name, value in fields.items()}
            return sign_in(guesser, f"wrong {number}", headers=headers)

        # At once: guesses that come one by one are kept waiting, each for seconds.
        assert {answer.status_code for answer in threads.map(guess, enumerate([{}] * 15))} == {401}
        answers = list(threads.map(guess, enumerate(FORGED * 5)))
        # Now and then one more is checked, but each would be with an address of its own.
        for kind, fields in enumerate(FORGED):
            throttled = [answer for answer in answers[kind :: len(FORGED)] if answer.status_code == 429]
            assert throttled and throttled[0].headers["Retry-After"], fields
        assert sign_in(owner, "wrong").status_code == 401
        assert sign_in(owner).status_code == 200


def test_the_log_has_the_address_of_the_client(start, put, tmp_path):
    log = tmp_path / "sarang.log"
    # A shell, so that stderr is a file.
    command = ["sh", "-c", f'exec "$0" "$@" 2>"{log}"', os.environ["SARANG_BIN"]]
    for configure in EVERY:
        server = start("--trusted-proxy", "127.0.0.1", "--log", "info", command=command)
        proxy = put(configure, server)
        for fields in FORGED:
            forged = {name: value.format(n=1) for name, value in fields.items()}
            with proxy.client("127.0.0.2") as client:
                assert sign_in(client, headers=forged).status_code == 200
        server.stop()
        lines = log.read_text().splitlines()
        logins = [line for line in lines if "event=login" in line]
        assert len(logins) == len(FORGED), configure.__name__
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
