"""Bodies without a length, as third-party HTTP clients send them: chunked (RFC 9112 section 7.1)."""

import asyncio
import http.client
import json
import shutil
import subprocess

import aiohttp
import httpx
import pytest
import requests

from conftest import PATIENCE

JSON = {"Content-Type": "application/json"}


def with_http_client(url, pieces):
    host, path = url.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    connection.request("POST", f"/{path}", body=iter(pieces), headers=JSON, encode_chunked=True)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def with_requests(url, pieces):
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, data=(piece for piece in pieces), headers=JSON, timeout=PATIENCE)
        return response.status_code, response.content


def with_httpx(url, pieces):
    with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
        response = client.post(url, content=(piece for piece in pieces), headers=JSON)
        return response.status_code, response.content


def with_aiohttp(url, pieces):
    async def body():
        for piece in pieces:
            yield piece

    async def post():
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.post(url, data=body(), headers=JSON) as response:
                return response.status, await response.read()

    return asyncio.run(post())


def with_curl(url, pieces):
    """Of the clients here the one that asks with `Expect: 100-continue` first."""
    command = ["curl", "-sS", "-v", "--noproxy", "*", "-X", "POST", "-T", "-", "-w", "\n%{http_code}"]
    command += ["-H", "Content-Type: application/json", "-H", "Expect: 100-continue"]
    command += ["--expect100-timeout", str(PATIENCE), url]
    ran = subprocess.run(command, input=b"".join(pieces), capture_output=True, timeout=PATIENCE, check=True)
    assert b"> Transfer-Encoding: chunked" in ran.stderr
    assert b"< HTTP/1.1 100 Continue" in ran.stderr
    body, status = ran.stdout.rsplit(b"\n", 1)
    return int(status), body


NODE = """
const [url, ...pieces] = process.argv.slice(1);
const options = {method: "POST", headers: {"Content-Type": "application/json"}};
const request = require("http").request(url, options, async (response) => {
    let body = "";
    for await (const part of response) body += part;
    console.log(response.statusCode + body);
});
require("stream").Readable.from(pieces).pipe(request);
"""


def with_node(url, pieces):
    command = ["node", "-e", NODE, url, *(piece.decode() for piece in pieces)]
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
    return int(ran.stdout[:3]), ran.stdout[3:]


def is_missing(command):
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is not on this machine")


@pytest.fixture(
    params=[
        with_http_client,
        with_requests,
        with_httpx,
        with_aiohttp,
        pytest.param(with_curl, marks=is_missing("curl")),
        pytest.param(with_node, marks=is_missing("node")),
    ],
    ids=lambda client: client.__name__,
)
def post(request):
    """POST of JSON through each client in turn: the status and the JSON of the answer."""

    def post(url, text, size=5):
        # Pieces of whole characters.
        pieces = [text[at : at + size].encode() for at in range(0, len(text), size)]
        status, body = request.param(url, pieces)
        return status, json.loads(body)

    return post


def test_a_room_is_created_in_pieces(server, post):
    status, room = post(f"{server.url}/rooms", '{"name": "조각난 방", "max_users": 7}')
    assert (status, room["name"], room["max_users"]) == (201, "조각난 방", 7)
    status, refused = post(f"{server.url}/rooms", '{"name": "조각난 방"}')
    assert (status, refused["error"]["code"]) == (409, "room_exists")


def test_somebody_signs_in_in_pieces(server, post):
    status, token = post(f"{server.url}/auth/login", '{"username": "admin", "password": "secret"}')
    assert (status, token["token_type"]) == (200, "bearer")
    status, refused = post(f"{server.url}/auth/login", '{"username": "admin", "password": "wrong"}')
    assert (status, refused["error"]["code"]) == (401, "invalid_credentials")


def test_figures_are_posted_in_pieces(server, post):
    status, event = post(f"{server.url}/events/business", '{"revenue": 5, "orders": 6}')
    assert status == 200
    assert event["id"] > 0
    status, refused = post(f"{server.url}/events/business", "[1, 2, 3]", size=1)
    assert (status, refused["error"]["code"]) == (400, "bad_request")


def test_a_connection_is_kept_behind_a_body_in_pieces(server):
    connection = http.client.HTTPConnection(server.host, timeout=PATIENCE)
    connection.connect()
    socket = connection.sock
    for number in range(3):
        pieces = [b'{"name":', f'"{number}"'.encode(), b"}"]
        connection.request("POST", "/rooms", body=iter(pieces), headers=JSON, encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, json.load(response)["name"]) == (201, str(number))
        connection.request("GET", f"/rooms/{number}")
        response = connection.getresponse()
        assert (response.status, json.load(response)["name"]) == (200, str(number))
        assert connection.sock is socket
    connection.close()


def test_too_large_a_piece_is_refused_with_the_reason(server):
    connection = http.client.HTTPConnection(server.host, timeout=PATIENCE)
    connection.putrequest("POST", "/rooms")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"100000\r\n")
    response = connection.getresponse()
    assert (response.status, json.load(response)["error"]["code"]) == (413, "content_too_large")
    connection.close()
