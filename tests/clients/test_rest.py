"""REST through third-party HTTP clients."""

import http.client
import urllib.error
import urllib.request

import pytest


def test_a_room_is_created_listed_and_found(server):
    created = server.rest.post("/rooms", json={"name": "홍길동의 방", "max_users": 5})
    assert created.status_code == 201
    room = server.rest.get(created.headers["location"]).json()
    assert (room["name"], room["max_users"], room["online_users"]) == ("홍길동의 방", 5, [])
    assert server.rest.get("/rooms/홍길동의 방/history").json()["messages"] == []
    (listed,) = server.rest.get("/rooms").json()["rooms"]
    assert listed.items() <= room.items()
    again = server.rest.post("/rooms", json={"name": "홍길동의 방"})
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "room_exists"


def test_errors_speak_korean_or_english(server):
    korean = server.rest.get("/rooms/none")
    english = server.rest.get("/rooms/none", headers={"Accept-Language": "en-US,en;q=0.9"})
    assert korean.json()["error"]["code"] == english.json()["error"]["code"] == "room_not_found"
    assert not korean.json()["error"]["message"].isascii()
    assert english.json()["error"]["message"].isascii()


def test_a_page_is_not_sent_twice(server):
    page = server.rest.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    again = server.rest.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_many_requests_use_one_connection(server):
    connection = http.client.HTTPConnection(server.host, timeout=30)
    connection.connect()
    socket = connection.sock
    for method, target, status in [
        ("GET", "/rooms", 200),
        ("HEAD", "/", 200),
        ("GET", "/rooms/none", 404),
        ("DELETE", "/rooms", 405),
        ("OPTIONS", "/rooms", None),
        ("GET", "/rooms", 200),
    ]:
        connection.request(method, target)
        response = connection.getresponse()
        response.read()
        assert status in (None, response.status), (method, target)
        assert connection.sock is socket, f"hung up after {method} {target}"
    connection.close()


def test_a_form_is_no_json(server):
    request = urllib.request.Request(f"{server.url}/rooms", data=b"name=form")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    assert refused.value.code == 415
    refused.value.close()


def test_what_was_said_is_read_back(server, guest):
    hong = guest("홍길동")
    hong.join("tech")
    said = []
    for content in ["하나", "둘"]:
        hong.send("chat", room="tech", content=content)
        said.append(hong.expect("chat"))
    history = server.rest.get("/rooms/tech/history").json()
    assert history["messages"] == said
    since = server.rest.get("/rooms/tech/history", params={"since": said[0]["position"]}).json()
    assert since["messages"] == said[1:]
    assert since["recovered"] is True


def test_the_http_echo_returns_everything(start):
    server = start("--echo")
    for body in [b"", b"hello", bytes(range(256)) * 1000]:
        assert server.rest.post("/http-echo", content=body).content == body
