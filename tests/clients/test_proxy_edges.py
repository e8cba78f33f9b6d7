"""Proxies that compress everything, that pipe, or that read a request's end differently from the server."""

import json
import re
import selectors
import time

import pytest
from listeners import over_httpx
from proxies import PATIENCE, apache, haproxy, nginx, varnish


@pytest.fixture
def server(start):
    # No heartbeat pushes an event that a proxy holds back.
    return start("--trusted-proxy", "127.0.0.1", "--heartbeat", "3600")


def changed(configure, *changes):
    """The same proxy with other lines in its configuration."""

    def configure_and_change(folder, port, server):
        command = configure(folder, port, server)
        (config,) = [one for one in folder.iterdir() if one in command]
        text = config.read_text()
        for old, new in changes:
            assert re.search(old, text), f"{old} is not in {config.name}"
            text = re.sub(old, new, text)
        config.write_text(text)
        return command

    configure_and_change.__name__ = configure.__name__
    return configure_and_change


COMPRESSING = [
    changed(nginx, ("gzip_types .*;", "gzip_types *; gzip_min_length 0;")),
    changed(haproxy, ("compression type .*", "compression type text/event-stream application/json text/html")),
    changed(apache, ("AddOutputFilterByType DEFLATE .*", "SetOutputFilter DEFLATE")),
]


@pytest.mark.parametrize("configure", COMPRESSING, ids=lambda configure: configure.__name__)
def test_a_proxy_that_compresses_everything_holds_no_event_back(put, server, configure):
    proxy = put(configure, server)
    page = proxy.rest.get("/", headers={"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    # Some compress only what is large.
    for length in [0, 800]:
        data = {"x": "x" * length}
        assert proxy.rest.post("/events/tried", json=data).status_code == 200
        with over_httpx(f"{proxy.url}/sse/tried") as events:
            next(events)
            for _ in range(5):
                posted = proxy.rest.post("/events/tried", json=data).json()["id"]
                assert next(events).id == str(posted)


def creation(host, name):
    """A request whose effect is seen, and with which its connection ends."""
    body = json.dumps({"name": name})
    fields = f"Host: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST /rooms HTTP/1.1\r\n{fields}\r\n{body}".encode()


def rooms(server):
    return {room["name"] for room in server.rest.get("/rooms").json()["rooms"]}


FORBID = 'sub vcl_recv {\n    if (req.method == "POST" && req.url ~ "^/rooms") { return (synth(403)); }'
# Varnish reads nothing of what comes behind a request that it pipes: the server has to end the connection.
PIPING = {
    "as_in_readme": [(r"sub vcl_recv \{", FORBID)],
    "every_upgrade": [(r"sub vcl_recv \{", FORBID), (r' && req.url ~ "\^/ws"', "")],
}


@pytest.mark.parametrize("changes", PIPING.values(), ids=PIPING.keys())
def test_no_request_goes_past_the_rules_of_a_proxy_behind_a_refused_upgrade(put, server, changes):
    proxy = put(changed(varnish, *changes), server)
    assert proxy.rest.post("/rooms", json={"name": "plain"}).status_code == 403
    for number, target in enumerate(["/rooms", "/ws?username=a", "/ws", "/sse/", "/nothing"]):
        upgrade = f"GET {target} HTTP/1.1\r\nHost: {proxy.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        with proxy.connect() as client:
            client.sendall(upgrade.encode() + creation(proxy.host, f"behind {number}"))
            answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 "), target
            assert b" 201 " not in answer, target
    assert rooms(server) == set()


def probes(host):
    """By name, requests after whose end, as some programs read it, there is another one, which makes a room of that name."""

    def post(name, fields, body, version="1.1"):
        hidden = creation(host, name)
        for word, size in [(b"SIZE", len(hidden)), (b"NEXT", len(hidden) + 5)]:
            body = body.replace(word, b"%x" % size)
        body = body.replace(b"HIDDEN", hidden)
        head = f"POST /rooms/x HTTP/{version}\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        fields = fields.replace("LENGTH", str(len(body)))
        return name, head.encode() + fields.encode() + b"\r\n" + body

    length, chunked = "Content-Length: LENGTH\r\n", "Transfer-Encoding: chunked\r\n"
    ended = b"0\r\n\r\nHIDDEN"
    return dict(
        [
            post("control", "Content-Length: 0\r\n", b"HIDDEN"),
            post("length, then chunked", length + chunked, ended),
            post("chunked, then length", chunked + "Content-Length: 4\r\n", b"SIZE\r\nHIDDEN\r\n0\r\n\r\n"),
            post("two lengths", "Content-Length: 0\r\n" + length, b"HIDDEN"),
            post("two lengths turned", length + "Content-Length: 0\r\n", b"HIDDEN"),
            post("list of lengths", "Content-Length: 0, LENGTH\r\n", b"HIDDEN"),
            post("signed length", "Content-Length: +0\r\n" + length, b"HIDDEN"),
            post("unknown coding", length + "Transfer-Encoding: xchunked\r\n", ended),
            post("chunked inside", length + "Transfer-Encoding: chunked, identity\r\n", ended),
            post("two codings", length + chunked + "Transfer-Encoding: identity\r\n", ended),
            post("space before colon", length + "Transfer-Encoding : chunked\r\n", ended),
            post("length with space before colon", "Content-Length : LENGTH\r\n", b"HIDDEN"),
            post("folded", length + "Transfer-Encoding:\r\n chunked\r\n", ended),
            post("folded field before", length + "X: y\r\n Transfer-Encoding: chunked\r\n", ended),
            post("control character", length + "Transfer-Encoding: \x0bchunked\r\n", ended),
            post("bare LF", length + "X: y\nTransfer-Encoding: chunked\r\n", ended),
            post("bare CR", length + "X: y\rTransfer-Encoding: chunked\r\n", ended),
            # NEXT has two digits: where the first line ends with CRLF only, these are the chunk.
            post("LF in extension", chunked, b"2;\nxx\r\nNEXT\r\n0\r\n\r\nHIDDEN\r\n0\r\n\r\n"),
            post("extension", chunked, b"0;x=\"\r\n\r\nHIDDEN\"\r\n\r\n"),
            post("huge chunk", chunked, b"10000000000000000\r\n\r\n" + ended),
            post("chunk size with 0x", chunked, b"0x0\r\n\r\nHIDDEN"),
            post("trailer", chunked, b"0\r\nContent-Length: 0\r\n\nHIDDEN"),
            post("chunked in 1.0", "Connection: keep-alive\r\n" + length + chunked, ended, "1.0"),
        ]
    )


class Conversations:
    """Connections that have sent something, and what came back."""

    def __init__(self, proxy, sent):
        self.received = {name: b"" for name in sent}
        self.selector = selectors.DefaultSelector()
        for name, data in sent.items():
            client = proxy.connect()
            client.sendall(data)
            self.selector.register(client, selectors.EVENT_READ, name)

    def receive(self, wait):
        """Receives what comes; whether something has."""
        ready = self.selector.select(wait)
        for key, _ in ready:
            try:
                more = key.fileobj.recv(65536)
            except ConnectionResetError:
                more = b""
            self.received[key.data] += more
            if not more:
                self.selector.unregister(key.fileobj)
                key.fileobj.close()
        return bool(ready)

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


def test_no_request_is_hidden_in_another_from_a_proxy(server, proxy):
    for number in range(8):
        assert server.rest.post("/rooms", json={"name": f"own {number}"}).status_code == 201
    conversations = Conversations(proxy, probes(proxy.host))
    while conversations.receive(0.5):
        pass
    # Each client gets the answer to its own request, on whichever connection to the server.
    for number in range(8):
        with proxy.client() as client:
            assert client.get(f"/rooms/own {number}").json()["name"] == f"own {number}"
    made = {name for name in rooms(server) if not name.startswith("own ")}
    assert "control" in made
    # A proxy may see two requests, but whoever made a room is told so: the proxy asked for it.
    deadline = time.monotonic() + PATIENCE
    while untold := {name for name in made if b" 201 " not in conversations.received[name]}:
        assert time.monotonic() < deadline, untold
        conversations.receive(1)
    conversations.close()
