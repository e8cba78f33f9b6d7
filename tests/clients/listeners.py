"""Four SSE libraries behind one small interface, each over an HTTP client of its own."""

import asyncio
import contextlib
import http.client
import json
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import aiohttp_sse_client.client
import httpx
import httpx_sse
import requests
import requests_sse
import sseclient

PATIENCE = 30


class Event(NamedTuple):
    name: str
    data: dict
    id: str


def fields(last_event_id):
    return {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}


@contextlib.contextmanager
def over_httpx(url, last_event_id=None, bearer=None):
    """https://pypi.org/project/httpx-sse/"""
    with (
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
        httpx_sse.connect_sse(client, "GET", url, headers={**fields(last_event_id), **(bearer or {})}) as source,
    ):
        # This library takes a `retry` followed only by a comment for an event without data.
        yield (Event(one.event, json.loads(one.data), one.id) for one in source.iter_sse() if one.data)


@contextlib.contextmanager
def over_http_client(url, last_event_id=None):
    """https://pypi.org/project/sseclient-py/ over the standard library."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request("GET", target, headers={"Accept": "text/event-stream", **fields(last_event_id)})
    response = connection.getresponse()
    try:
        assert response.status == 200
        source = sseclient.SSEClient(iter(lambda: response.read1(), b""))
        yield (Event(one.event, json.loads(one.data), one.id) for one in source.events())
    finally:
        response.close()
        connection.close()


@contextlib.contextmanager
def over_requests(url, last_event_id=None):
    """https://pypi.org/project/requests-sse/"""
    with requests.Session() as session:
        session.trust_env = False
        seen = None if last_event_id is None else str(last_event_id)
        with requests_sse.EventSource(url, session=session, timeout=PATIENCE, latest_event_id=seen) as source:
            yield (Event(one.type, json.loads(one.data), one.last_event_id) for one in source)


@contextlib.contextmanager
def over_aiohttp(url, last_event_id=None):
    """https://pypi.org/project/aiohttp-sse-client/"""
    with asyncio.Runner() as runner:

        async def enter():
            timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE)
            # A name with two addresses does not help a test.
            session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(family=socket.AF_INET))
            source = aiohttp_sse_client.client.EventSource(url, session=session, headers=fields(last_event_id))
            await source.connect()
            return session, source

        async def leave(session, source):
            await source.close()
            await session.close()

        session, source = runner.run(enter())
        try:
            events = iter(lambda: runner.run(source.__anext__()), None)
            yield (Event(one.type, json.loads(one.data), one.last_event_id) for one in events)
        finally:
            runner.run(leave(session, source))


LISTENERS = [over_httpx, over_http_client, over_requests, over_aiohttp]
