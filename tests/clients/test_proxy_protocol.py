"""stunnel, HAProxy and nginx in front of the server without speaking HTTP, with the lines of README.md."""

import json
import os
import socket
import ssl
import subprocess
import time
from urllib.parse import urlsplit

import httpx
import httpx_sse
import pytest
from proxies import PATIENCE, lines_of
from talkers import Websockets
from test_proxies import sign_in

CLIENT = "127.0.0.2"


def certificate(folder):
    """A certificate for 127.0.0.1 with its key, in one file."""
    key, cert, both = [folder / name for name in ["key.pem", "cert.pem", "chat.pem"]]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=chat", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", cert, *subject], check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    both.chmod(0o600)
    return both


def stunnel(folder, port, server):
    block = lines_of(
        "stunnel",
        ("accept = 443", f"accept = 127.0.0.1:{port}"),
        ("/etc/ssl/private/chat.pem", str(certificate(folder))),
        ("127.0.0.1:8000", server.host),
    )
    config = folder / "stunnel.conf"
    config.write_text(f"foreground = yes\npid =\n{block}")
    return ["stunnel", config]


def haproxy_2(folder, port, server):
    block = lines_of("haproxy-tcp", ("bind :443", f"bind 127.0.0.1:{port}"), ("127.0.0.1:8000", server.host))
    config = folder / "haproxy.cfg"
    config.write_text(block)
    return ["haproxy", "-db", "-f", config]


def haproxy_1(folder, port, server):
    command = haproxy_2(folder, port, server)
    text = command[-1].read_text()
    assert text.count("send-proxy-v2") == 1
    command[-1].write_text(text.replace("send-proxy-v2", "send-proxy"))
    return command


def nginx_stream(folder, port, server):
    block = lines_of("nginx-stream", ("listen 443;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8000", server.host))
    config = folder / "nginx.conf"
    module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;"
    config.write_text(f"{module}\ndaemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n{block}")
    return ["nginx", "-e", "stderr", "-p", folder, "-c", config]


PROXIES = [stunnel, haproxy_1, haproxy_2, nginx_stream]


class Client:
    """A client at another address of the loopback, with TLS where the proxy ends it."""

    def __init__(self, proxy, folder):
        self.certificate = next(folder.glob("*/cert.pem"), None)
        self.tls = self.certificate and ssl.create_default_context(cafile=self.certificate)
        self.host = proxy.host
        self.url = f"http{'s' if self.tls else ''}://{proxy.host}"

    def rest(self, source=CLIENT):
        transport = httpx.HTTPTransport(local_address=source, verify=self.tls or True)
        return httpx.Client(base_url=self.url, timeout=PATIENCE, transport=transport)

    def talk(self, query):
        url = urlsplit(self.url.replace("http", "ws", 1))
        plain = socket.create_connection((url.hostname, url.port), PATIENCE, (CLIENT, 0))
        options = {"ssl": self.tls, "server_hostname": "127.0.0.1"} if self.tls else {}
        return Websockets(f"{url.geturl()}/ws{query}", sock=plain, **options)


@pytest.fixture(params=PROXIES, ids=lambda configure: configure.__name__)
def front(request, start, put, tmp_path):
    """A proxy of each kind with a server behind it, and the lines that the server has logged when it has stopped."""
    log = tmp_path / "sarang.log"
    # A shell, so that stderr is a file.
    command = ["sh", "-c", f'exec "$0" "$@" 2>"{log}"', os.environ["SARANG_BIN"]]
    options = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1", "--log", "debug"]
    server = start(*options, "--connections-per-address", "3", command=command)
    proxy = put(request.param, server)

    def logged():
        server.stop()
        return log.read_text().splitlines()

    return Client(proxy, tmp_path), logged


def test_a_chat_and_an_event_stream_have_the_address_of_the_client(front):
    client, logged = front
    first, second = [client.talk(f"?username={name}") for name in ["a", "b"]]
    for talker in [first, second]:
        talker.expect("welcome")
        talker.join("tech")
    first.expect("user_joined")
    with (
        client.rest() as rest,
        httpx_sse.connect_sse(rest, "GET", "/sse/system") as source,
    ):
        event = next(one for one in source.iter_sse() if one.data)
        assert json.loads(event.data)
        for number in range(5):
            second.send("chat", room="tech", content=f"{number} 안녕하세요! 👋")
            assert first.expect("chat") == second.expect("chat")
    first.close()
    second.close()
    lines = logged()
    ended = [line for line in lines if "event=disconnected" in line and f"address={CLIENT}" in line]
    assert len(ended) >= 3, lines
    assert not any("event=proxy_header_refused" in line or "event=forwarded" in line for line in lines), lines


def test_a_throttled_sign_in_has_the_address_of_the_client_and_others_are_not_throttled(front):
    client, logged = front
    with client.rest() as guesser, client.rest("127.0.0.3") as owner:
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 50, statuses
            # Whatever the client says.
            forged = {"X-Forwarded-For": f"192.0.2.{len(statuses)}"}
            statuses.append(sign_in(guesser, "wrong", headers=forged).status_code)
        assert statuses.index(429) >= 5
        assert sign_in(owner, "wrong").status_code == 401
        assert sign_in(owner).status_code == 200
    lines = logged()
    logins = [line for line in lines if "event=login" in line and "suppressed" not in line]
    assert logins[0].endswith(f"address={CLIENT}"), lines
    assert {line.rsplit("=", 1)[1] for line in logins} <= {CLIENT, "127.0.0.3"}, lines
    ignored = [line for line in lines if "event=forwarded_address_ignored" in line]
    assert len(ignored) == 1 and f"address={CLIENT}" in ignored[0], lines


def test_health_checks_are_connections_of_the_proxys_own(start, put):
    server = start("--proxy-protocol", "--trusted-proxy", "127.0.0.1", "--connections-per-address", "1")
    proxy = put(haproxy_2, server)
    deadline = time.monotonic() + PATIENCE
    counted = 0
    # The check is due every two seconds, and this request is one connection more.
    while counted < 4:
        assert time.monotonic() < deadline, page
        page = proxy.rest.get("/metrics").text
        samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
        counted = int(samples["sarang_proxy_headers_total"])
        assert samples["sarang_proxy_headers_refused_total"] == "0"
        time.sleep(0.1)
