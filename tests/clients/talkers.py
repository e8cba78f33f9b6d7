"""Two WebSocket libraries behind one small interface."""

import json

import websocket
import websockets.sync.client
from websockets.exceptions import ConnectionClosed

PATIENCE = 30
# Messages of a room that members can resume from.
KEPT = 1_000


class Talker:
    """A chat client."""

    def send(self, kind, **fields):
        self.send_text(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    def expect(self, kind):
        """The very next message, which must be of this type."""
        message = json.loads(self.receive())
        assert message["type"] == kind, message
        return message

    def join(self, room, **fields):
        self.send("join", room=room, **fields)
        return self.expect("room_joined")

    def news(self):
        """The messages before the answer to a request sent now: proves that no other message was sent before."""
        self.send("room_list")
        news = []
        while (message := json.loads(self.receive()))["type"] != "room_list":
            news.append(message)
        return news


class Websockets(Talker):
    """https://websockets.readthedocs.io, which offers compression and is strict about frames."""

    def __init__(self, url, **options):
        self.socket = websockets.sync.client.connect(
            url, open_timeout=PATIENCE, close_timeout=PATIENCE, proxy=None, legacy=True, **options
        )

    def send_text(self, text):
        self.socket.send(text)

    def receive(self):
        return self.socket.recv(timeout=PATIENCE)

    def close_code(self):
        try:
            while True:
                self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason

    def close(self):
        self.socket.close()
        assert self.socket.protocol.close_code == 1000

    def drop(self):
        self.socket.close_socket()


class WebsocketClient(Talker):
    """https://websocket-client.readthedocs.io, which leaves frames to its caller."""

    def __init__(self, url, **options):
        self.socket = websocket.create_connection(url, timeout=PATIENCE, **options)

    def send_text(self, text):
        self.socket.send(text)

    def receive(self):
        return self.socket.recv()

    def close_code(self):
        while True:
            opcode, data = self.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big"), data[2:].decode()

    def close(self):
        self.socket.send_close()
        assert self.close_code() == (1000, "")

    def drop(self):
        self.socket.shutdown()


LIBRARIES = [Websockets, WebsocketClient]
