"""Through each proxy what is large, oddly spelled or out of place arrives as it is, or not at all."""

import http.client
import json
import os
import re
import socket
from urllib.parse import quote

import pytest
from listeners import over_httpx
from proxies import EVERY, PATIENCE, varnish
from test_proxy_edges import changed, creation


@pytest.fixture
def server(start):
    # No heartbeat pushes an event that a proxy holds back.
    return start("--trusted-proxy", "127.0.0.1", "--heartbeat", "3600")


def test_a_stream_has_an_orderly_end_when_the_server_stops(server, proxy):
    with over_httpx(f"{proxy.url}/sse/tried") as events:
        posted = proxy.rest.post("/events/tried", json={}).json()["id"]
        assert next(events).id == str(posted)
        assert server.stop() == 0
        # At a cut the library raises an error.
        assert list(events) == []


def padded(name, length):
    """The parts of a body of this length that creates a room."""
    text = json.dumps({"name": name})
    spaces = length - len(text)
    return [text[:-1].encode(), *[b" " * 1024] * (spaces // 1024), b" " * (spaces % 1024) + b"}"]


def test_a_body_comes_through_up_to_the_limit_whole_and_in_chunks(proxy):
    headers = {"Content-Type": "application/json"}
    for length, status in [(64 << 10, 201), ((64 << 10) + 1, 413)]:
        for name, body in [("whole", b"".join(padded("whole", length))), ("parts", iter(padded("parts", length)))]:
            answer = proxy.rest.post("/rooms", content=body, headers=headers)
            assert answer.status_code == status, (name, length, answer.text)


def exchange(proxy, data, source="127.0.0.1"):
    """The answer to bytes that no library would send."""
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE, (source, 0)) as client:
        client.sendall(data)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status, response.read()


# Names that somebody on the way might take for something else.
NAMES = ["/a", "a/", "a/../b", "a/./b", "a?b#c", "a;b=c&d=e", "a%b", "%2F", "a\\..\\b", "~a:@!$'()*,[]{}|^", "é ß", "👋"]


def test_a_rooms_name_is_the_same_in_every_spelling_of_a_target(proxy):
    for name in NAMES:
        assert proxy.rest.post("/rooms", json={"name": name}).status_code == 201
        upper = quote(name, safe="")
        lower = re.sub("%..", lambda found: found[0].lower(), upper)
        every = "".join(f"%{byte:02X}" for byte in name.encode())
        for target in [upper, lower, every]:
            head = f"GET /rooms/{target}/history HTTP/1.1\r\nHost: {proxy.host}\r\n\r\n"
            status, body = exchange(proxy, head.encode())
            assert (status, json.loads(body)["room"]) == (200, name), (target, body)


# Spellings under which a proxy might pass a client's field on beside its own, or instead of it.
CLAIMS = [
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2",
    "x-forwarded-for:192.0.2.1",
    "X-Forwarded-For: 192.0.2.1,",
    "X-Forwarded-For:",
    "X_Forwarded_For: 192.0.2.1",
    "X-Forwarded-For : 192.0.2.1",
    "X-Forwarded-For\t: 192.0.2.1",
    "X-Forwarded-For: a\r\n , 192.0.2.1",
    "FORWARDED: for=192.0.2.1",
    "Forwarded : for=192.0.2.1",
    "Forwarded: for=192.0.2.1\r\nForwarded: for=192.0.2.2",
    "X-Real-IP: 192.0.2.1\r\nTrue-Client-IP: 192.0.2.1\r\nClient-IP: 192.0.2.1",
    "Connection: X-Forwarded-For\r\nX-Forwarded-For: 192.0.2.1",
    "Connection: close, Forwarded, X-Forwarded-For",
]


@pytest.mark.parametrize("configure", EVERY, ids=lambda configure: configure.__name__)
def test_no_spelling_of_a_field_claims_an_address(start, put, tmp_path, configure):
    log = tmp_path / "sarang.log"
    # A shell, so that stderr is a file.
    command = ["sh", "-c", f'exec "$0" "$@" 2>"{log}"', os.environ["SARANG_BIN"]]
    body = json.dumps({"username": "admin", "password": "secret"})
    # The log has few lines of a kind at once, so each server gets a few.
    for first in range(0, len(CLAIMS), 5):
        claims = CLAIMS[first : first + 5]
        server = start("--trusted-proxy", "127.0.0.1", "--log", "info", command=command)
        proxy = put(configure, server)
        statuses = []
        for fields in claims:
            head = f"POST /auth/login HTTP/1.1\r\nHost: {proxy.host}\r\n{fields}\r\nContent-Type: application/json\r\n"
            data = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
            statuses.append(exchange(proxy, data, "127.0.0.2")[0])
        server.stop()
        assert set(statuses) <= {200, 400}, statuses
        lines = log.read_text().splitlines()
        logins = [line for line in lines if "event=login" in line]
        assert len(logins) == statuses.count(200), (lines, statuses)
        assert all(line.endswith("address=127.0.0.2") for line in logins), (claims, logins)


# Each is piped by the lines of README.md, and answered with anything but 101.
FIRST = [
    "GET /ws?username=a HTTP/1.1\r\nUpgrade: websocket",
    "GET /ws?username=a HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: short",
    "HEAD /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket, h2c",
    "POST /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0",
    "OPTIONS /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://a.example",
    "GET /ws/../rooms HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket",
    "GET /sse/,,, HTTP/1.1",
    "HEAD /sse/tried HTTP/1.1\r\nConnection: keep-alive",
    "OPTIONS /sse/tried HTTP/1.1\r\nConnection: keep-alive",
    "POST /sse/tried HTTP/1.1\r\nContent-Length: 0",
    "GET /sse/none/../../rooms HTTP/1.1",
    "GET /sse/tried HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\nHost: a.example",
]
RULE = 'sub vcl_recv {\n    if (req.method == "POST" && req.url ~ "^/rooms") { return (synth(403)); }'


def test_a_pipe_of_varnish_ends_with_its_first_answer(put, server):
    proxy = put(changed(varnish, (r"sub vcl_recv \{", RULE)), server)
    for number, first in enumerate(FIRST):
        with proxy.connect() as client:
            head = f"{first}\r\nHost: {proxy.host}\r\n\r\n".encode()
            client.sendall(head + creation(proxy.host, f"behind {number}"))
            # It ends by itself; a connection that went on would be waited for.
            answer = b"".join(iter(lambda: receive(client), b""))
        assert answer.startswith(b"HTTP/1.1 ") and b" 201 " not in answer, (first, answer)
    assert server.rest.get("/rooms").json()["rooms"] == []


def receive(client):
    """Bytes of an answer; none at its end, or when unread bytes of ours have made an end of it."""
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""
