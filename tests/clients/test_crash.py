"""kill -9 at any moment, under load: what was acknowledged is there, once, and in the same place.

SARANG_KILLS (20) is how often the server is killed.
"""

import json
import os
import random
import signal
import threading
import time
from collections import defaultdict

from websockets.exceptions import ConnectionClosed, InvalidMessage

from conftest import PATIENCE
from talkers import KEPT, Websockets

KILLS = int(os.environ.get("SARANG_KILLS", "20"))
ROOMS = ["광장", "tech"]
PEOPLE = ["홍길동", "김철수", "이영희", "park"]
# Messages that one person has sent and that are not acknowledged yet.
WINDOW = 32


class Ledger:
    """What all clients together were told."""

    def __init__(self):
        self.changed = threading.Condition()
        self.server = None
        self.is_over = False
        self.acknowledged = 0
        # By room: what was said at each position, and how often each was told to be said.
        self.said = {room: {} for room in ROOMS}
        self.faults = []

    def see(self, room, position, author, content):
        with self.changed:
            before = self.said[room].setdefault(position, (author, content))
            if before != (author, content):
                self.faults.append(f"{room} {position}: {before}, then {(author, content)}")

    def fault(self, text):
        with self.changed:
            self.faults.append(text)
            self.changed.notify_all()


class Person(threading.Thread):
    """Says numbered messages in all rooms, and sends again what was not acknowledged when the connection broke."""

    def __init__(self, name, ledger):
        super().__init__(name=name, daemon=True)
        self.ledger = ledger
        self.count = 0
        self.unanswered = {}
        self.positions = {}
        self.last = dict.fromkeys(ROOMS)

    def run(self):
        server = None
        try:
            while True:
                with self.ledger.changed:
                    found = self.ledger.changed.wait_for(
                        lambda: self.ledger.server not in [None, server] or self.is_done(), PATIENCE
                    )
                    assert found, "no server came back"
                    if self.is_done():
                        return
                    server = self.ledger.server
                try:
                    self.talk(Websockets(server.socket_url(self.name)))
                # Also killed in the opening handshake.
                except (ConnectionClosed, InvalidMessage, OSError, EOFError):
                    continue
        except BaseException as fault:
            self.ledger.fault(f"{self.name}: {fault!r}")
            raise

    def is_done(self):
        return self.ledger.is_over and not self.unanswered

    def talk(self, socket):
        socket.expect("welcome")
        for room in ROOMS:
            self.enter(socket, room)
        for number, (room, content) in list(self.unanswered.items()):
            socket.send("chat", room=room, content=content, id=number)
        while not self.is_done():
            while len(self.unanswered) < WINDOW and not self.ledger.is_over:
                self.count += 1
                room, number = ROOMS[self.count % 2], f"{self.name} {self.count}"
                self.unanswered[number] = (room, number)
                socket.send("chat", room=room, content=number, id=number)
            self.take(json.loads(socket.receive()))

    def enter(self, socket, room):
        socket.send("join", room=room, since=self.last[room])
        # Others talk in the rooms it has joined already.
        while (message := json.loads(socket.receive()))["type"] != "room_joined":
            self.take(message)
        if self.last[room] and not message["recovered"]:
            # On a busy machine others may say more than is kept before this one is back.
            if seq_of(message["position"]) - seq_of(self.last[room]) <= KEPT:
                self.ledger.fault(f"{self.name} lost its place in {room}: {self.last[room]}, {message['position']}")
            self.last[room] = None
        for missed in message["history"]:
            self.take(missed)
        self.last[room] = message["position"]

    def take(self, message):
        kind = message["type"]
        if kind == "chat":
            room, position = message["room"], message["position"]
            before = self.last[room]
            if before and seq_of(position) != seq_of(before) + 1:
                self.ledger.fault(f"{self.name} in {room}: {position} after {before}")
            self.last[room] = position
            self.ledger.see(room, position, message["username"], message["content"])
        elif kind == "ack":
            # One that was sent again may be acknowledged twice.
            self.unanswered.pop(message["id"], None)
            first = self.positions.setdefault(message["id"], message["position"])
            if first != message["position"]:
                self.ledger.fault(f"{message['id']}: acknowledged at {first}, then at {message['position']}")
            with self.ledger.changed:
                self.ledger.acknowledged += 1
                self.ledger.changed.notify_all()
        elif kind == "error":
            self.ledger.fault(f"{self.name}: {message}")


def seq_of(position):
    return int(position.split(":")[1])


def test_what_was_acknowledged_survives_kills_under_load(start, tmp_path):
    seed = int(os.environ.get("SARANG_SEED", time.time_ns()))
    print(f"SARANG_SEED={seed}")
    chance = random.Random(seed)
    ledger = Ledger()
    people = [Person(name, ledger) for name in PEOPLE]
    for person in people:
        person.start()
    for kill in range(KILLS + 1):
        server = start("--data", str(tmp_path / "data"), "--messages-per-second", "0", "--presence-grace", "0")
        with ledger.changed:
            ledger.server = server
            target = ledger.acknowledged + chance.randrange(1, 2_000)
            ledger.changed.notify_all()
            assert ledger.changed.wait_for(lambda: ledger.acknowledged >= target or ledger.faults, PATIENCE)
            assert not ledger.faults, ledger.faults[:5]
        if kill < KILLS:
            server.stop(signal.SIGKILL)
    with ledger.changed:
        ledger.is_over = True
        ledger.changed.notify_all()
    for person in people:
        person.join(PATIENCE)
        assert not person.is_alive(), person.name
    assert ledger.faults == []
    for room in ROOMS:
        said = ledger.said[room]
        assert len({position.split(":")[0] for position in said}) == 1, "the epoch stays"
        assert sorted(map(seq_of, said)) == list(range(1, len(said) + 1)), "positions have no hole"
        times = defaultdict(int)
        for what in said.values():
            times[what] += 1
        assert max(times.values()) == 1, [what for what, count in times.items() if count > 1][:5]
    for person in people:
        for number, position in person.positions.items():
            room = ROOMS[int(number.rsplit(" ", 1)[1]) % 2]
            assert ledger.said[room][position] == (person.name, number)
    print(f"{KILLS} kills, {ledger.acknowledged} acknowledgements")
