"""Thousands of guests in one thread: a library's share for each of them would take longer than what is tried."""

import contextlib
import json
import resource
import selectors
import socket
from urllib.parse import quote

from proxies import PATIENCE

# Descriptors of everything else that a test has open.
OTHER_DESCRIPTORS = 256


def frame(**message):
    """A text frame of a client. A mask of zeros leaves the text as it is."""
    text = json.dumps(message, ensure_ascii=False).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + text


def frames_in(data):
    """Takes whole text frames of a server from the front of the data."""
    start = 0
    while len(data) >= start + 2:
        assert data[start] == 0x81, bytes(data[start : start + 100])
        size, head = data[start + 1], 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(data[start + 2 : start + head], "big")
        if len(data) < start + head + size:
            break
        yield bytes(data[start + head : start + head + size])
        start += head + size
    del data[:start]


class Guest:
    """Is in one room, and knows what is told there."""

    def __init__(self, name, room):
        self.name, self.room = name, room
        self.host = self.socket = None
        self.is_upgraded = False
        self.data = bytearray()
        # The answer to the join, and the messages told after it.
        self.joined, self.told = None, []

    def connect(self, host):
        """Begins to; the rest is done when the socket is ready."""
        self.drop()
        self.host, self.is_upgraded = host, False
        self.joined, self.told = None, []
        self.socket = socket.socket()
        self.socket.setblocking(False)
        address, port = host.split(":")
        with contextlib.suppress(BlockingIOError):
            self.socket.connect((address, int(port)))

    def begin(self):
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert not error, error
        self.socket.sendall(
            f"GET /ws?username={quote(self.name)} HTTP/1.1\r\nHost: {self.host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def take(self, since):
        """Takes what has come. After the welcome it joins."""
        while True:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                break
            assert data, f"{self.name} was disconnected"
            self.data += data
        if not self.is_upgraded:
            head, end, rest = bytes(self.data).partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self.is_upgraded = True
            self.data = bytearray(rest)
        for text in frames_in(self.data):
            self.read(text, since)

    def read(self, text, since):
        self.hear(json.loads(text), since)

    def hear(self, message, since):
        kind = message["type"]
        if kind == "welcome":
            self.socket.sendall(frame(type="join", room=self.room, since=since))
        elif kind == "room_joined":
            assert self.joined is None, message
            self.joined = message
        elif kind == "chat":
            self.told.append(message)
        else:
            assert kind in ["user_joined", "user_left", "room_users"], message

    def drop(self):
        if self.socket:
            self.socket.close()
        self.data.clear()


class Crowd:
    """Guests in some rooms, as evenly as can be."""

    def __init__(self, count, rooms, kind=Guest):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = count + OTHER_DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        self.guests = [kind(f"guest {number}", rooms[number % len(rooms)]) for number in range(count)]
        self.selector = selectors.DefaultSelector()

    def connect(self, nodes):
        """All at once, in turns over the nodes."""
        for number, guest in enumerate(self.guests):
            guest.connect(nodes[number % len(nodes)].host)
            self.selector.register(guest.socket, selectors.EVENT_WRITE, guest)

    def until_each(self, is_so, since=None):
        """Everybody takes what comes until this is so; `since` by room is where they go on."""
        waiting = {guest for guest in self.guests if not is_so(guest)}
        while waiting:
            ready = self.selector.select(PATIENCE)
            assert ready, f"{len(waiting)} of {len(self.guests)} still wait"
            for key, events in ready:
                guest = key.data
                if events & selectors.EVENT_WRITE:
                    guest.begin()
                    self.selector.modify(guest.socket, selectors.EVENT_READ, guest)
                else:
                    guest.take(since and since[guest.room])
                    if is_so(guest):
                        waiting.discard(guest)

    def drop(self):
        """Everybody goes without a word."""
        self.selector.close()
        self.selector = selectors.DefaultSelector()
        for guest in self.guests:
            guest.drop()

    def stop(self):
        self.drop()
        self.selector.close()
