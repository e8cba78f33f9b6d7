"""The pages over a kill and a restart of a server that keeps everything on disk: nothing is lost, doubled or called a gap."""

import json
import re
from urllib.parse import quote

import pytest
import websockets.sync.client
from playwright.sync_api import expect

from conftest import CUT, WAIT_MS
from test_dashboard import CUT as STREAM_CUT
from test_dashboard import events_into, is_live, is_lost, last_id, post_business, wait_for_id, waits_long


@pytest.fixture
def server_options(tmp_path):
    return ("--data", str(tmp_path / "data"))


class Other:
    """A client without a browser."""

    def __init__(self, server, name, room):
        url = f"ws://127.0.0.1:{server.port}/ws?username={quote(name)}"
        self.socket = websockets.sync.client.connect(url, proxy=None, legacy=True)
        self.send(type="join", room=room)
        self.until("room_joined")

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def until(self, kind):
        while (message := json.loads(self.socket.recv(timeout=WAIT_MS / 1000)))["type"] != kind:
            assert message["type"] != "error", message
        return message

    def say(self, room, content):
        self.send(type="chat", room=room, content=content, id=content)
        return self.until("ack")["position"]


def is_away(page):
    expect(page.find("#state")).to_have_class("state is-reconnecting")


def test_a_chat_goes_on_after_the_server_was_killed_as_if_nothing_had_happened(visitor, server):
    one, two = visitor().expects(*CUT), visitor().expects(*CUT)
    # The second one comes back by itself; the first one waits until it is told to, after the other client has talked.
    one.page.add_init_script("Math.random = () => 200")
    one.enter("하나", "방")
    two.enter("둘", "방")
    for page in (one, two):
        page.noting("#log-place", "(element) => element.querySelectorAll('.gap').length")
    said = []
    for number in range(3):
        one.say(f"전 {number}")
        said.append(f"전 {number}")
    two.sees("전 2")
    for kill in range(2):
        server.kill()
        for page in (one, two):
            is_away(page)
        one.write(f"끊긴 동안 {kill}")
        expect(one.find(".outgoing .pending")).to_have_count(1)
        server.start()
        other = Other(server, f"셋 {kill}", "방")
        for number in range(3):
            other.say("방", f"남 {kill} {number}")
            said.append(f"남 {kill} {number}")
        two.is_connected()
        two.sees(f"남 {kill} 2")
        one.hurries()
        one.is_connected()
        for page in (one, two):
            page.sees(f"끊긴 동안 {kill}")
        said.append(f"끊긴 동안 {kill}")
        expect(one.find(".outgoing li")).to_have_count(0)
        two.say(f"둘 {kill}")
        said.append(f"둘 {kill}")
    for page in (one, two):
        page.sees_in_order(said)
        expect(page.find("#banner")).to_be_hidden()
        expect(page.find(".gap")).to_have_count(0)
        assert set(page.noted("#log-place")) == {0}, "a gap was shown for a moment"
    newcomer = visitor().enter("넷", "방")
    newcomer.sees_in_order(said)


def test_a_message_that_was_on_its_way_when_the_server_was_killed_is_there_once(visitor, server):
    one, two = visitor().enter("하나", "방").expects(*CUT), visitor().enter("둘", "방").expects(*CUT)
    said = []
    for kill in range(3):
        # Some are acknowledged, some are on disk only, some have not arrived.
        for number in range(20):
            one.write(f"글 {kill} {number}")
            said.append(f"글 {kill} {number}")
        server.kill()
        server.start()
        for page in (one, two):
            page.hurries()
            page.is_connected()
            page.sees(re.compile(f"^글 {kill} 19$"))
        expect(one.find(".outgoing li")).to_have_count(0)
    for page in (one, two):
        page.sees_in_order(said)
        expect(page.find(".gap")).to_have_count(0)


def test_a_room_that_was_created_is_there_after_the_server_was_killed(visitor, server):
    one, two = visitor().enter("하나", "방").expects(*CUT), visitor().enter("둘", "방").expects(*CUT)
    one.create("작은 방", 2)
    one.is_in("작은 방")
    one.say("여기는 둘까지")
    server.kill()
    for page in (one, two):
        is_away(page)
    server.start()
    for page in (one, two):
        page.hurries()
        page.is_connected()
    two.create_or_join("작은 방")
    two.sees("여기는 둘까지")
    two.say("들어왔어요")
    one.sees("들어왔어요")
    expect(one.find(".gap")).to_have_count(0)


def test_the_dashboard_resumes_after_the_server_was_killed(visitor, server):
    seen = []
    one = visitor(url=f"{server.url}/dashboard", locale="en-US").expects(*STREAM_CUT)
    waits_long(one)  # until something has happened meanwhile
    events_into(seen)(one)
    one.page.goto(one.url)
    is_live(one)
    one.noting("#state", "(element) => element.className")
    for _ in range(2):
        wait_for_id(one, last_id(one) + 4)
        server.kill()
        is_lost(one)
        before = last_id(one)
        server.start()
        # Told while the page is away, and once it is back it has them.
        post_business(server, [{"orders": number} for number in range(3)])
        one.find("#try-now").click()
        expect(one.find("#state")).to_have_class("state is-connected")
        one.was_told("nothing was missed")
        wait_for_id(one, before + 6)
    ids = [int(number) for _, number, _ in seen if number]
    assert ids == list(range(ids[0], ids[0] + len(ids))), "an event is missing, came twice or not in order"
    assert "gap" not in [name for name, *_ in seen]
    assert not [look for look in one.noted("#state") if "has-gap" in look]
