"""A back end imports the past of a room while people read in it, and talk beside it."""

import re
import threading

import pytest
from crowds import Crowd, Guest
from talkers import Websockets

KEY = "of-a-back-end-that-moves-its-past-here-0123"
BATCH = 1_000
BATCHES = 100
MESSAGES = BATCH * BATCHES
READERS = 20
AUTHORS = [f"저자 {number}" for number in range(50)]
FILLER = "옛말 " * 128
# Batches that are sent again at the end: as many ids of a server are remembered (65,536), and of an author enough (4,096).
AGAIN = 60
# What the server may take beyond what it has at the start: half of what is imported.
MORE_KIB = 48 * 1024


def content(number):
    return f"{number} {FILLER}"


def batch(number):
    first = number * BATCH
    return {"messages": [
        {"content": content(n), "username": AUTHORS[n % len(AUTHORS)], "id": f"old-{n}"} for n in range(first, first + BATCH)
    ]}


class Reader(Guest):
    """Reads everything, and only looks at what has to be in the next message."""

    heard = 0

    def read(self, text, since):
        if self.joined is None or b'"type":"chat"' not in text[:20]:
            return super().read(text, since)
        assert f'"content":"{self.heard} '.encode() in text, (self.heard, text)
        self.heard += 1
        assert text.endswith(f':{self.heard}"}}'.encode()), (self.heard, text)


class Import(threading.Thread):
    """Sends one batch after the other, and each tenth twice, as after an answer that was lost."""

    def __init__(self, server, batches=BATCHES):
        super().__init__(daemon=True)
        self.server, self.batches, self.positions, self.fault = server, batches, [], None
        self.is_over = threading.Event()

    def run(self):
        try:
            for number in range(self.batches):
                self.positions.append(self.send(number))
                if number % 10 == 0:
                    assert self.send(number) == self.positions[-1]
        except Exception as fault:
            self.fault = fault
        self.is_over.set()

    def send(self, number):
        answer = self.server.rest.post("/rooms/past/messages", json=batch(number), headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 201, answer.text
        return answer.json()["positions"]


def resident(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status.read(), re.M)[1])


@pytest.fixture(params=[False, True], ids=["in-memory", "data"])
def server(request, start, tmp_path):
    (tmp_path / "keys").write_text(f"shop:{KEY}\n")
    kept = ["--data", str(tmp_path / "data")] if request.param else []
    return start("--api-key-file", str(tmp_path / "keys"), "--guests", "--messages-per-second", "0", *kept)


@pytest.fixture
def crowd(server):
    crowd = Crowd(READERS, ["past"], Reader)
    crowd.connect([server])
    crowd.until_each(lambda guest: guest.joined)
    yield crowd
    crowd.stop()


def test_a_hundred_thousand_messages_are_imported_while_others_read_and_talk(server, crowd):
    talker = Websockets(server.socket_url("김철수"))
    talker.expect("welcome")
    talker.join("beside")
    at_start = most = resident(server)
    reading = threading.Thread(target=crowd.until_each, args=[lambda guest: guest.heard == MESSAGES], daemon=True)
    reading.start()
    importing = Import(server)
    importing.start()
    answered = 0
    while not importing.is_over.is_set():
        talker.send("chat", room="beside", content="안녕", id=str(answered))
        talker.expect("chat")
        talker.expect("ack")
        answered += not importing.is_over.is_set()
        most = max(most, resident(server))
    assert importing.fault is None, importing.fault
    assert answered > 0, "nobody was answered while the import went on"

    # Each was acknowledged once, in order, and everybody has read all of them.
    epochs, numbers = zip(*(position.split(":") for positions in importing.positions for position in positions), strict=True)
    assert len(set(epochs)) == 1 and list(map(int, numbers)) == list(range(1, MESSAGES + 1))
    reading.join()
    assert [guest.heard for guest in crowd.guests] == READERS * [MESSAGES]
    for number in range(BATCHES - AGAIN, BATCHES):
        assert importing.send(number) == importing.positions[number]
    most = max(most, resident(server))
    assert server.rest.get("/rooms/past", headers={"Authorization": f"Bearer {KEY}"}).json()["messages"] == MESSAGES
    print(f"{answered} chats beside it; {at_start} to {most} KiB")
    assert most - at_start < MORE_KIB, f"from {at_start} to {most} KiB"


def test_a_member_who_reads_nothing_does_not_stop_an_import_and_is_put_out(server):
    stuck, reader = Websockets(server.socket_url("김철수")), Crowd(1, ["past"], Reader)
    stuck.expect("welcome")
    stuck.join("past")
    # It stops when the library has taken so many messages that nobody has asked for; the rest stays in the sockets.
    reader.connect([server])
    reader.until_each(lambda guest: guest.joined)
    (batches, everything) = (10, 10 * BATCH)
    reading = threading.Thread(target=reader.until_each, args=[lambda guest: guest.heard == everything], daemon=True)
    reading.start()
    importing = Import(server, batches)
    importing.run()
    assert importing.fault is None, importing.fault
    reading.join()
    reader.stop()
    assert b"code=\"4008\"" in server.rest.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).content
    stuck.drop()
