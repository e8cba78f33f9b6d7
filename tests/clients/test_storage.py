"""The store on a disk that is full, read-only or failing, in a second server's hands, or idle: what a client and an operator see."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed

from conftest import PATIENCE
from talkers import Websockets

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
ROOMS = [f"room {number}" for number in range(16)]


@pytest.fixture
def small(tmp_path):
    """A file system of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def keep(start, tmp_path):
    """Starts servers that keep what they are told; `server.log` is the file of their log."""

    def keep(data, *options, umask="022"):
        log = tmp_path / f"log-{time.monotonic_ns()}"
        shell = f'umask {umask}; exec "$0" "$@" 2>{log}'
        limits = ["--messages-per-second", "0", "--presence-grace", "0", "--log", "warn"]
        server = start("--data", str(data), *limits, *options, command=["sh", "-c", shell, os.environ["SARANG_BIN"]])
        server.log = log
        return server

    return keep


def until(is_so, *arguments):
    deadline = time.monotonic() + PATIENCE
    while not is_so(*arguments):
        assert time.monotonic() < deadline, (is_so, arguments)
        time.sleep(0.05)


def is_logged(server, event):
    return f" event={event}" in server.log.read_text()


def is_ready(server):
    return server.rest.get("/readyz").status_code == 200


def figure(server, name):
    page = server.rest.get("/metrics").text
    return float(re.search(rf"^sarang_store_{name} (\S+)$", page, re.M)[1])


def refused(data, *options):
    """What a server says that cannot use the folder."""
    command = [os.environ["SARANG_BIN"], "--listen", "127.0.0.1:0", "--data", str(data), *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SARANG_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=clean)
    assert done.returncode == 1 and done.stdout == "", done
    return done.stderr


class Member:
    """Is in rooms and keeps what it was told: `seen` by room and position, `kept` of its own by id."""

    def __init__(self, server, name, rooms=ROOMS):
        self.talker = Websockets(server.socket_url(name))
        self.talker.expect("welcome")
        self.begins = {room: self.talker.join(room)["position"] for room in rooms}
        self.seen = {room: {} for room in rooms}
        self.kept = {}

    def say(self, room, content, number):
        """The position, or None if the store is not available."""
        self.talker.send("chat", room=room, content=content, id=number)
        while True:
            message = json.loads(self.talker.receive())
            if message["type"] == "ack" and message["id"] == number:
                self.kept[number] = (room, message["position"], content)
                return message["position"]
            if message["type"] == "error":
                assert message["code"] == "storage_unavailable" and message["id"] == number, message
                return None
            self.take(message)

    def take(self, message):
        assert message["type"] in ["chat", "user_joined", "user_left"], message
        if message["type"] == "chat":
            seen = self.seen[message["room"]]
            assert message["position"] not in seen, message
            seen[message["position"]] = message["content"]

    def looks(self):
        for message in self.talker.news():
            self.take(message)
        return self.seen


def history(server, name, begins):
    """What the rooms have from these positions on, by room and position."""
    talker = Websockets(server.socket_url(name))
    talker.expect("welcome")
    rooms = {}
    for room, since in begins.items():
        joined = talker.join(room, since=since)
        assert joined["recovered"], joined
        rooms[room] = {message["position"]: message["content"] for message in joined["history"]}
    talker.drop()
    return rooms


def check_ledgers(author, watcher, server):
    """What was acknowledged, what others were shown and what the server has are the same."""
    acknowledged = {room: {} for room in ROOMS}
    for room, position, content in author.kept.values():
        acknowledged[room][position] = content
    assert watcher.looks() == acknowledged
    assert history(server, "late", author.begins) == acknowledged


@needs_root
def test_a_full_disk_refuses_loses_nothing_and_is_used_again_when_it_has_space(keep, small):
    ballast = small / "ballast"
    ballast.write_bytes(bytes(2 * 1024 * 1024))
    server = keep(small / "data")
    kim, lee = Member(server, "김철수"), Member(server, "이영희")
    assert figure(server, "up") == 1
    number = 0
    while kim.say(ROOMS[number % len(ROOMS)], str(number).ljust(4_000, "x"), str(number)):
        number += 1
        assert number < 50 * len(ROOMS), "the disk was never full"
    assert server.rest.get("/readyz").status_code == 503
    assert server.rest.get("/livez").status_code == 200
    assert "No space left" in server.log.read_text()
    assert (figure(server, "up"), figure(server, "queue")) == (0, 0)
    assert figure(server, "failures_total") >= 1
    until(is_logged, server, "storage_still_failing")
    refused_one = (ROOMS[number % len(ROOMS)], str(number).ljust(4_000, "x"), str(number))
    assert kim.say(*refused_one) is None
    assert server.rest.post("/rooms", json={"name": "another"}).status_code == 503
    assert server.rest.post("/events/deploys", json={"version": "1.2"}).status_code == 503
    # What was kept is read as before.
    check_ledgers(kim, lee, server)
    ballast.unlink()
    until(is_ready, server)
    assert is_logged(server, "storage_restored")
    first = kim.say(*refused_one)
    assert kim.say(*refused_one) == first, "it is said once"
    check_ledgers(kim, lee, server)
    assert figure(server, "up") == 1
    assert figure(server, "file_bytes") == (small / "data/sarang.redb").stat().st_size
    events = re.findall(r" event=(storage_\w+)", server.log.read_text())
    assert events[0] == "storage_failed" and events[-1] == "storage_restored", events
    assert set(events[1:-1]) == {"storage_still_failing"}, events
    server.stop(signal.SIGKILL)
    server = keep(small / "data")
    assert is_ready(server)
    kept = history(server, "late", kim.begins)
    assert kept == lee.seen


@needs_root
def test_a_disk_without_any_space_ends_the_start_with_a_sentence(keep, small):
    (small / "ballast").write_bytes(bytes(3 * 1024 * 1024 - 2 * 4096))
    said = refused(small / "data")
    assert "--data" in said and "No space left" in said and said.count("\n") == 1, said


@needs_root
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "used"])
def test_a_read_only_folder_ends_the_start_with_a_sentence(keep, small, is_new):
    data = small / "data"
    if not is_new:
        keep(data).stop()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    said = refused(data)
    assert str(data) in said and "Read-only file system" in said and said.count("\n") == 1, said


class Trace:
    """strace at a running server."""

    def __init__(self, server, path, *options):
        self.path = path
        pid = str(server.process.pid)
        self.process = subprocess.Popen(
            ["strace", "-f", "-o", str(path), *options, "-p", pid], stderr=subprocess.PIPE, text=True
        )
        line = self.process.stderr.readline()
        assert "attached" in line, line

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self.process.stderr.close()
        return self.path.read_text().splitlines()


@contextmanager
def traced(server, path, *options):
    trace = Trace(server, path, *options)
    try:
        yield trace
    finally:
        if trace.process.returncode is None:
            trace.stop()


@needs_strace
@pytest.mark.parametrize(
    "fault", ["fdatasync:error=EIO", "pwrite64:error=EIO", "pwrite64:error=EROFS"], ids=lambda fault: fault.replace(":error=", "-")
)
def test_a_disk_that_fails_is_written_anew_and_nothing_is_shown_that_is_not_kept(keep, tmp_path, fault):
    server = keep(tmp_path / "data")
    kim, lee = Member(server, "김철수"), Member(server, "이영희")
    before = (tmp_path / "data/sarang.redb").stat().st_ino
    assert kim.say(ROOMS[0], "before", "1")
    call = fault.split(":")[0]
    with traced(server, tmp_path / "trace", "-e", f"trace={call}", "-e", f"inject={fault}"):
        assert kim.say(ROOMS[0], "meanwhile", "2") is None
        assert kim.say(ROOMS[1], "meanwhile", "3") is None
        assert server.rest.get("/readyz").status_code == 503
        assert server.rest.get("/livez").status_code == 200
        until(is_logged, server, "storage_still_failing")
        assert lee.looks()[ROOMS[0]] == kim.looks()[ROOMS[0]]
        assert list(lee.seen[ROOMS[0]].values()) == ["before"]
    until(is_ready, server)
    assert (tmp_path / "data/sarang.redb").stat().st_ino != before, "the file that failed is not used again"
    assert not (tmp_path / "data/sarang.redb.new").exists()
    for number, room in [("2", ROOMS[0]), ("3", ROOMS[1]), ("2", ROOMS[0])]:
        assert kim.say(room, "meanwhile", number)
    check_ledgers(kim, lee, server)
    server.stop(signal.SIGKILL)
    server = keep(tmp_path / "data")
    assert history(server, "late", kim.begins) == lee.seen
    assert server.log.read_text() == ""


@needs_strace
def test_one_failed_sync_refuses_the_batch_and_the_file_is_replaced(keep, tmp_path):
    server = keep(tmp_path / "data")
    kim, lee = Member(server, "김철수"), Member(server, "이영희")
    assert kim.say(ROOMS[0], "before", "1")
    with traced(server, tmp_path / "trace", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1"):
        assert kim.say(ROOMS[0], "meanwhile", "2") is None
        until(is_ready, server)
    assert re.findall(r" event=(storage_\w+)", server.log.read_text()) == ["storage_failed", "storage_restored"]
    assert kim.say(ROOMS[0], "meanwhile", "2")
    check_ledgers(kim, lee, server)


@needs_strace
def test_a_lone_message_waits_for_the_disk_once(keep, tmp_path):
    server = keep(tmp_path / "data")
    kim = Member(server, "김철수", ["tech"])
    assert kim.say("tech", "starts the thread", "1")
    with traced(server, tmp_path / "trace", "-e", "trace=fsync,fdatasync,msync,sync_file_range,syncfs,sync") as trace:
        for number in range(2, 12):
            assert kim.say("tech", "안녕하세요!", str(number))
        lines = trace.stop()
    calls = [line for line in lines if re.search(r"sync\w*\(", line)]
    assert len(calls) == 10, lines


@needs_strace
def test_an_idle_server_with_a_store_makes_no_system_call(keep, tmp_path):
    server = keep(tmp_path / "data")
    kim = Member(server, "김철수", ["tech"])
    assert kim.say("tech", "안녕하세요!", "1")
    kim.talker.drop()
    # A connection that is kept alive is closed at some time.
    server.rest.close()
    trace_path = tmp_path / "trace"
    with traced(server, trace_path):
        # Until what remained to do, and what strace itself has caused, is done.
        settled, last = time.monotonic(), None
        deadline = settled + PATIENCE
        while time.monotonic() < settled + 3:
            text = trace_path.read_text()
            if text != last:
                settled, last = time.monotonic(), text
            assert time.monotonic() < deadline, text[-2_000:]
            time.sleep(0.1)


def test_a_second_server_is_refused_with_a_sentence(keep, tmp_path):
    data = tmp_path / "data"
    server = keep(data)
    said = refused(data)
    assert f"{data}: another sarang (process {server.process.pid}) uses it" in said, said
    server.stop(signal.SIGKILL)
    keep(data)


def test_folder_and_files_are_their_owners_only(keep, tmp_path):
    data = tmp_path / "above" / "data"
    server = keep(data, umask="000")
    assert Member(server, "김철수", ["tech"]).say("tech", "안녕하세요!", "1")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()} == {"lock": 0o600, "sarang.redb": 0o600}
    assert server.log.read_text() == ""


def test_a_folder_that_others_may_enter_is_told(keep, tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    server = keep(data)
    until(is_logged, server, "folder_open")
    assert str(data) in server.log.read_text()


def test_a_damaged_file_is_moved_aside_and_told(keep, tmp_path):
    data = tmp_path / "data"
    server = keep(data)
    kim = Member(server, "김철수", ["tech"])
    position = kim.say("tech", "안녕하세요!", "1")
    server.stop()
    size = (data / "sarang.redb").stat().st_size
    os.truncate(data / "sarang.redb", size // 2)
    server = keep(data)
    until(is_logged, server, "storage_damaged")
    [aside] = [path for path in data.iterdir() if path.name.startswith("sarang.redb.damaged-")]
    assert aside.stat().st_size == size // 2
    assert str(aside) in server.log.read_text()
    late = Websockets(server.socket_url("김철수"))
    late.expect("welcome")
    joined = late.join("tech", since=position)
    assert not joined["recovered"] and joined["position"].split(":")[0] != position.split(":")[0], joined
    assert joined["history"] == []
    late.drop()


def test_sigterm_under_load_closes_nobody_before_everything_that_was_said_is_answered(keep, tmp_path):
    server = keep(tmp_path / "data")
    rooms = ROOMS[:4]
    people = [Member(server, room, [room]) for room in rooms]
    begun = threading.Semaphore(0)

    def talk(member, room):
        count, codes = 0, []
        try:
            for number in range(900):
                member.talker.send("chat", room=room, content=f"{number}", id=str(number))
        except ConnectionClosed:
            pass
        try:
            while True:
                message = json.loads(member.talker.receive())
                if message["type"] == "ack":
                    member.kept[message["id"]] = message["position"]
                    count += 1
                    begun.release()
                elif message["type"] == "chat":
                    member.take(message)
                else:
                    codes.append(message)
        except ConnectionClosed as closed:
            member.closed = closed.rcvd and closed.rcvd.code
        member.others = codes

    threads = [threading.Thread(target=talk, args=pair, daemon=True) for pair in zip(people, rooms)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        assert begun.acquire(timeout=PATIENCE)
    began = time.monotonic()
    assert server.stop() == 0
    took = time.monotonic() - began
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    # The limits of the drain are seconds: this is far above them.
    assert took < PATIENCE / 2, took
    assert [member.closed for member in people] == [1001] * len(people)
    assert [member.others for member in people] == [[]] * len(people)
    server = keep(tmp_path / "data")
    for member, room in zip(people, rooms):
        [kept] = history(server, "late", member.begins).values()
        assert kept == member.seen[room]
        assert set(kept) == set(member.kept.values()), "what is kept was acknowledged"
