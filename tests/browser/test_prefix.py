"""The pages behind a proxy that serves them under a prefix, which it strips from every request."""

import socket
import threading

import pytest
from playwright.sync_api import expect

from conftest import Relay
from test_dashboard import is_live

PREFIX = b"/chat"


class PrefixProxy(Relay):
    """Carries one request for each connection, so that only the first head of a connection is rewritten."""

    def __init__(self, port):
        self.strays = []
        super().__init__(port)

    def _take(self, near):
        threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        try:
            with near:
                received = b""
                while b"\r\n\r\n" not in received:
                    data = near.recv(65536)
                    if not data:
                        return
                    received += data
                head, body = received.split(b"\r\n\r\n", 1)
                method, target, rest = head.split(b" ", 2)
                if not target.startswith(PREFIX + b"/"):
                    self.strays.append(target.decode())
                    near.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
                with socket.create_connection(self.target) as far:
                    far.sendall(b" ".join([method, target[len(PREFIX):], rest]) + b"\r\n\r\n" + body)
                    threading.Thread(target=carry, args=(near, far), daemon=True).start()
                    carry(far, near)
        except OSError:
            pass


def carry(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy(server):
    proxy = PrefixProxy(server.port)
    yield proxy
    proxy.close()
    assert proxy.strays == []


def test_the_pages_work_under_a_prefix_and_lead_to_each_other(visitor, proxy):
    one = visitor(proxy.url + "/chat/").enter("길동", "tea")
    one.say("안녕하세요")
    one.find(".brand-link").click()
    expect(one.page).to_have_url(proxy.url + "/chat/dashboard")
    is_live(one)
    one.find(".to-chat").click()
    expect(one.page).to_have_url(proxy.url + "/chat/?room=tea")
    one.is_connected()
    one.sees("안녕하세요")


def test_whoever_signs_in_under_a_prefix_gets_in(visitor, proxy):
    one = visitor(proxy.url + "/chat/?room=tea")
    one.page.goto(one.url)
    one.find("#other-way-button").click()
    one.find("#account").fill("admin")
    one.find("#password").fill("secret")
    one.find("#sign-in").click()
    one.is_connected()
    one.is_in("tea")


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/"])
def test_the_dashboard_is_found_with_a_slash_at_its_end_too(visitor, proxy, server, path):
    for base in (server.url, proxy.url + "/chat"):
        one = visitor(base + path + "?minutes=1")
        one.page.goto(one.url)
        expect(one.page).to_have_url(base + "/dashboard?minutes=1")
        is_live(one)
