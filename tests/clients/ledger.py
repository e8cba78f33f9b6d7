"""People who talk in rooms over all nodes, through every fault, and the ledger of what they were told.

The ledger's rules: a position has one content, for everybody; a message has one position in an epoch; everybody is told
everything in order, without a hole; what was acknowledged is there, unless its room has a new epoch, which everybody was told.
"""

import itertools
import json
import threading
import time
from collections import defaultdict
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from proxies import PATIENCE
from talkers import KEPT, Websockets

ROOMS = ["광장", "tech"]
PEOPLE = ["홍길동", "김철수", "이영희", "park"]
# Messages that one person has sent and that are not acknowledged yet.
WINDOW = 8
# Between two messages of a person: a room keeps about 1,000, and none may be gone when a node or its people come back.
PACE = 0.1
# How long a client waits before it tries again what was refused.
AGAIN = 0.3
PASSING = ["user_joined", "user_left", "room_users"]


def epoch_of(position):
    return position.split(":")[0]


def seq_of(position):
    return int(position.split(":")[1])


class Ledger:
    """What all people together were told."""

    def __init__(self):
        self.changed = threading.Condition()
        self.faults = []
        self.acknowledged = 0
        self.is_silent = False
        # By room, how far everybody must have heard before they go.
        self.tops = None
        # By room: the author and content at each position.
        self.said = {room: {} for room in ROOMS}
        # By room, epoch and content: where it was told.
        self.places = {room: {} for room in ROOMS}

    def see(self, room, position, author, content):
        with self.changed:
            before = self.said[room].setdefault(position, (author, content))
            if before != (author, content):
                self.faults.append(f"{room} {position}: {before}, then {(author, content)}")
            first = self.places[room].setdefault((epoch_of(position), content), position)
            if first != position:
                self.faults.append(f"{room}: {content} at {first} and at {position}")

    def fault(self, text):
        with self.changed:
            self.faults.append(text)
            self.changed.notify_all()

    def count(self):
        with self.changed:
            self.acknowledged += 1
            self.changed.notify_all()

    def wait_for(self, is_so):
        with self.changed:
            came = self.changed.wait_for(lambda: self.faults or is_so(), 4 * PATIENCE)
            assert not self.faults, self.faults[:5]
            assert came, "it never came to be"

    def epochs(self, room):
        return {epoch_of(position) for position in self.said[room]}


class Person(threading.Thread):
    """Says numbered messages in all rooms, at any node, and sends again what was not acknowledged."""

    def __init__(self, name, ledger, doors, first, pace):
        super().__init__(name=name, daemon=True)
        self.ledger, self.pace = ledger, pace
        # Each begins at a node of their own, and goes to the next one when it fails.
        self.doors = itertools.islice(itertools.cycle(doors), first, None)
        self.key = f"the key of {name}".ljust(16, "x")
        self.numbers = itertools.count(1)
        self.unanswered = {}
        self.acknowledged = {}
        self.last = dict.fromkeys(ROOMS)
        self.is_in = dict.fromkeys(ROOMS, False)
        self.resets = defaultdict(int)
        self.connections = 0
        self.next_at = self.again_at = 0
        self.socket = None

    def run(self):
        try:
            while not self.is_done():
                try:
                    self.talk(next(self.doors))
                except (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, EOFError):
                    # A client's own pause, also where every node refuses.
                    time.sleep(AGAIN)
        except BaseException as fault:
            self.ledger.fault(f"{self.name}: {fault!r}")
            raise

    def is_done(self):
        tops = self.ledger.tops
        return bool(tops) and not self.unanswered and self.last == tops

    def talk(self, door):
        self.socket = Websockets(door.socket_url(self.name, self.key))
        self.connections += 1
        try:
            self.socket.expect("welcome")
            self.is_in = dict.fromkeys(ROOMS, False)
            for room in ROOMS:
                self.socket.send("join", room=room, since=self.last[room], id=room)
            while not self.is_done():
                self.speak()
                self.listen()
        finally:
            self.socket.drop()

    def speak(self):
        now = time.monotonic()
        if self.again_at and now >= self.again_at:
            self.again_at = 0
            self.say_again()
        room = ROOMS[(len(self.acknowledged) + len(self.unanswered)) % len(ROOMS)]
        is_free = len(self.unanswered) < WINDOW and self.is_in[room] and now >= self.next_at
        if is_free and not self.ledger.is_silent:
            self.next_at = now + self.pace
            number = f"{self.name} {next(self.numbers)}"
            self.unanswered[number] = room
            self.socket.send("chat", room=room, content=number, id=number)

    def say_again(self, room=None):
        """Asks again for what was refused, and what the last connection took with it."""
        for one in ROOMS:
            if not self.is_in[one]:
                self.socket.send("join", room=one, since=self.last[one], id=one)
        for number, one in self.unanswered.items():
            if self.is_in[one] and room in [None, one]:
                self.socket.send("chat", room=one, content=number, id=number)

    def listen(self):
        try:
            text = self.socket.socket.recv(timeout=min(self.pace, AGAIN))
        except TimeoutError:
            return
        self.take(json.loads(text))

    def take(self, message):
        kind = message["type"]
        if kind == "chat":
            self.hear(message)
        elif kind == "room_joined":
            self.enter(message)
        elif kind == "ack":
            self.note(message)
        elif kind == "error":
            self.bear(message)
        elif kind not in PASSING:
            self.ledger.fault(f"{self.name}: {message}")

    def hear(self, message):
        room, position = message["room"], message["position"]
        before = self.last[room]
        if before and (epoch_of(before), seq_of(before) + 1) != (epoch_of(position), seq_of(position)):
            self.ledger.fault(f"{self.name} in {room}: {position} after {before}")
        self.last[room] = position
        self.ledger.see(room, position, message["username"], message["content"])

    def enter(self, message):
        room, before, position = message["room"], self.last[message["room"]], message["position"]
        if before and not message["recovered"]:
            self.resets[room] += 1
            # On a busy machine others may say more than is kept before this one is back.
            if epoch_of(before) == epoch_of(position) and seq_of(position) - seq_of(before) <= KEPT:
                self.ledger.fault(f"{self.name} lost {room} after {before}, at {position}, in one epoch")
        if not message["recovered"]:
            # What is told begins anew.
            self.last[room] = None
        for missed in message["history"]:
            self.hear({**missed, "room": room})
        if self.last[room] not in [None, position]:
            self.ledger.fault(f"{self.name} in {room}: {self.last[room]} is the last told, and it is at {position}")
        self.last[room] = position
        self.is_in[room] = True
        self.say_again(room)

    def note(self, message):
        number, position = message["id"], message["position"]
        # One that was sent again may be acknowledged twice: at one place, as long as the epoch is the same.
        room = self.unanswered.pop(number, None)
        if room:
            self.ledger.count()
        room, first = self.acknowledged.setdefault(number, (room, position))
        if epoch_of(first) == epoch_of(position) and first != position:
            self.ledger.fault(f"{number}: acknowledged at {first}, then at {position}")

    def bear(self, message):
        number = message.get("id")
        # It may be said all the same, so it is sent again under its id.
        expected = ["backend_unavailable"] + (["already_in_room"] if number in ROOMS else [])
        if message["code"] not in expected or number not in [*self.unanswered, *self.acknowledged, *ROOMS]:
            self.ledger.fault(f"{self.name}: {message}")
        self.again_at = time.monotonic() + AGAIN


class Load:
    """People who talk until they are told to end; then the ledger is checked."""

    def __init__(self, doors, pace=PACE):
        self.ledger = Ledger()
        self.people = [Person(name, self.ledger, doors, number, pace) for number, name in enumerate(PEOPLE)]
        for person in self.people:
            person.start()
        self.goes_on()

    def goes_on(self, count=40):
        """So many more are acknowledged, whatever happens meanwhile."""
        target = self.ledger.acknowledged + count
        self.ledger.wait_for(lambda: self.ledger.acknowledged >= target)

    def end(self):
        ledger = self.ledger
        with ledger.changed:
            ledger.is_silent = True
        ledger.wait_for(lambda: not any(person.unanswered for person in self.people))
        with ledger.changed:
            ledger.tops = self.tops()
        for person in self.people:
            person.join(2 * PATIENCE)
            assert ledger.faults == []
            assert not person.is_alive(), (person.name, person.last, ledger.tops)

    def tops(self):
        """The last position acknowledged in each room: of the last message that anybody was told of there."""
        tops = {}
        for room in ROOMS:
            answers = [
                answer[1] for person in self.people for answer in person.acknowledged.values() if answer[0] == room
            ]
            heard = [person.last[room] for person in self.people if person.last[room]]
            # An epoch that somebody has been told last is the newest if nobody goes on to another one.
            newest = {epoch_of(position) for position in heard}
            assert len(newest) == 1, newest
            tops[room] = max([one for one in answers + heard if epoch_of(one) in newest], key=seq_of)
        return tops

    def check(self, *, lossless=True):
        """After the end. `lossless`: nothing was done to the engine that costs anything."""
        ledger = self.ledger
        assert ledger.faults == [] and ledger.acknowledged > 0
        for room in ROOMS:
            if lossless:
                assert len(ledger.epochs(room)) == 1, "the epoch stays"
                assert not any(person.resets[room] for person in self.people)
            for epoch in ledger.epochs(room):
                told = sorted(seq_of(position) for position in ledger.said[room] if epoch_of(position) == epoch)
                assert told == list(range(told[0], told[-1] + 1)), "positions have no hole"
        for person in self.people:
            for number, (room, position) in person.acknowledged.items():
                self.check_kept(person, number, room, position)

    def check_kept(self, person, number, room, position):
        """What was acknowledged was told, or it is of an epoch that ended, and so was that."""
        told = self.ledger.said[room].get(position)
        if told is None and epoch_of(position) != epoch_of(self.ledger.tops[room]):
            assert person.resets[room], (number, position)
            return
        assert told == (person.name, number), (number, position, told)

    def check_numbers(self):
        """What was acknowledged has its number, and nothing else has it, in every later epoch too: none of it was lost."""
        for room in ROOMS:
            # In the order in which they began.
            epochs = list(dict.fromkeys(epoch_of(position) for position in self.ledger.said[room]))
            for person in self.people:
                for number, (where, position) in person.acknowledged.items():
                    if where == room:
                        self.check_number(room, number, position, epochs[epochs.index(epoch_of(position)) :])

    def check_number(self, room, number, position, epochs):
        ledger, seq = self.ledger, seq_of(position)
        for epoch in epochs:
            told = ledger.said[room].get(f"{epoch}:{seq}")
            assert told is None or told[1] == number, (room, number, position, epoch, told)
            place = ledger.places[room].get((epoch, number))
            assert place is None or seq_of(place) == seq, (room, number, position, place)

    def check_history(self, node):
        """A node that is asked anew has the last messages as the people were told them."""
        for room in ROOMS:
            page = node.rest.get(f"/rooms/{room}/history").json()
            assert page["position"] == self.ledger.tops[room], (room, page["position"], self.ledger.tops)
            messages, top = page["messages"], seq_of(page["position"])
            assert [seq_of(one["position"]) for one in messages] == list(range(top - len(messages) + 1, top + 1))
            for one in messages:
                what = (one["username"], one["content"])
                # What a new epoch begins with was told in the one before, if at all.
                assert self.ledger.said[room].get(one["position"], what) == what, one


@contextmanager
def under_load(nodes, doors=None, *, lossless=True, pace=PACE):
    """People talk meanwhile, and go on afterwards; then all is as the ledger says, at every node."""
    load = Load(doors or nodes, pace)
    yield load
    load.goes_on()
    nodes.wait_until_ready()
    load.end()
    load.check(lossless=lossless)
    for node in nodes:
        load.check_history(node)
