"""README's programs of a back end, as they stand there but for address and key: what they say is heard, whom they ban is put out,
and they follow the audit log over a cut and a restart."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue

import pytest
from conftest import PATIENCE
from engines import Relay
from talkers import Websockets

README = Path(__file__).parents[2] / "README.md"
KEY = "of-a-back-end-that-README-knows-0123456789"
NODE = shutil.which("node")
# Language, name of the file, how to run it, how to check its types.
PYTHON = ("python", "shop.py", [sys.executable], [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull])
TSC = ["--noEmit", "--checkJs", "--strict", "--target", "es2022", "--module", "esnext", "--lib", "es2023,dom,dom.asynciterable"]
JAVASCRIPT = ("js", "shop.mjs", [NODE], [NODE, "typescript/bin/tsc", *TSC])


def written(language):
    section = README.read_text().split("\n## From your back end\n")[1].split("\n## ")[0]
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)
    return text


@pytest.fixture(params=[PYTHON, JAVASCRIPT], ids=lambda program: program[0])
def program(request):
    if request.param[2] == [None]:
        pytest.skip("Node is not installed")
    return request.param


class Running:
    """A program that runs; `told` are the events it has printed."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.told, self.lines = [], Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def tells(self, action, **fields):
        """Waits until it has printed such an event."""
        wanted = {"action": action, **fields}
        while not (self.told and self.told[-1].items() >= wanted.items()):
            line = self.lines.get(timeout=PATIENCE)
            assert line, f"it ended with {self.process.wait(PATIENCE)}"
            if line.startswith("{"):
                self.told.append(json.loads(line))
            else:
                assert line.startswith("again in 3 s: "), line

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def audit(server):
    """The whole log so far, read by another client, with a room behind it that only marks its end."""
    headers = {"Authorization": f"Bearer {KEY}"}
    assert server.rest.post("/rooms", json={"name": "the end"}, headers=headers).status_code == 201
    events = []
    with server.rest.stream("GET", "/sse/audit", headers={**headers, "Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                if events[-1].get("subject") == "the end":
                    return events


@pytest.fixture
def shop(start, tmp_path):
    """Starts the server with a back end's key, again on the same data."""
    keys = tmp_path / "keys"
    keys.write_text(f"가게:{KEY}\n")
    return lambda: start("--api-key-file", str(keys), "--guests", "--data", str(tmp_path / "data"))


@pytest.fixture
def opened():
    """What ends with the test."""
    ends = []
    yield lambda one: ends.append(one) or one
    for one in ends:
        one.stop() if isinstance(one, (Running, Relay)) else one.drop()


def enter(opened, server, name):
    talker = opened(Websockets(server.socket_url(name)))
    talker.expect("welcome")
    talker.join("tech")
    return talker


def test_readmes_programs_speak_ban_and_follow_the_audit_log(shop, opened, program, tmp_path):
    language, name, run, _ = program
    server = shop()
    host, port = server.host.split(":")
    relay = opened(Relay((host, int(port))))
    hong, spammer = enter(opened, server, "홍길동"), enter(opened, server, "도배꾼")
    assert hong.expect("user_joined")["username"] == "도배꾼"
    text = written(language).replace("KEY-OF-THE-API-KEY-FILE", KEY)
    assert text.count("127.0.0.1:8000") == text.count(KEY) == 1
    (tmp_path / name).write_text(text.replace("127.0.0.1:8000", "{}:{}".format(*relay.address)))
    running = opened(Running([*run, str(tmp_path / name)]))

    said = hong.expect("chat")
    assert (said["username"], said["content"]) == ("주문", "주문 17번이 들어왔습니다")
    spammer.expect("chat")
    told = spammer.expect("banned")
    assert told["reason"] == "도배"
    assert spammer.close_code() == (4006, "도배")
    running.tells("banned", subject="도배꾼", actor="key:가게", reason="도배")
    left = datetime.fromisoformat(told["until"]) - datetime.now(UTC)
    assert timedelta(seconds=3600 - PATIENCE) < left <= timedelta(seconds=3601)

    # What happens while the path is cut is told once it is back, and nothing twice.
    relay.set(is_cut=True)
    enter(opened, server, "김철수")
    relay.set(is_cut=False)
    log = audit(server)
    running.tells("room_created", subject="the end")
    assert running.told == log

    # After a restart the log is another one: it begins with a gap.
    server.stop(signal.SIGKILL)
    server = shop()
    relay.target = (host, int(server.host.split(":")[1]))
    enter(opened, server, "이영희")
    before = len(log)
    running.tells("joined", actor="이영희")
    gap, *after = running.told[before:]
    assert gap["restarted"] is True and "action" not in gap
    assert [event["action"] for event in after if event["actor"] == "이영희"] == ["connected", "joined"]


def test_the_types_of_readmes_programs_are_right(program, tmp_path):
    language, name, _, check = program
    (tmp_path / name).write_text(written(language))
    if language == "js":
        modules = os.environ.get("SARANG_NODE_MODULES")
        if not modules or not (Path(modules) / "typescript").exists():
            pytest.skip("SARANG_NODE_MODULES does not name a folder with typescript")
        check = [check[0], str(Path(modules) / check[1]), *check[2:]]
    done = subprocess.run([*check, str(tmp_path / name)], capture_output=True, text=True, cwd=tmp_path, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
