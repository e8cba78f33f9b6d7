"""Pages of a cluster in Chromium, with the real sarang.js, behind HAProxy: what people see when nodes and engines start anew."""

import os
from itertools import pairwise

import pytest
from playwright.sync_api import expect, sync_playwright

from engines import until
from ledger import PEOPLE, ROOMS
from proxies import PATIENCE
from test_cluster_restart import roll

CHROMIUM = os.environ.get("SARANG_CHROMIUM", "/usr/bin/chromium")
CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WAIT_MS = 2_000 * PATIENCE
expect.set_options(timeout=WAIT_MS)
# HAProxy asks a node every 200 ms, and believes the second answer: nobody is sent to a node that closes its sockets.
DELAY = ["--drain-delay", "1"]

# Everything that sarang.js reports of messages and connections, in order; and someone who talks in both rooms.
TALKING = """async ([name, rooms]) => {
  const { Sarang, newId } = await import('/static/sarang.js');
  window.told = [];
  window.said = [];
  window.chat = new Sarang({ url: `ws://${location.host}/ws?username=${encodeURIComponent(name)}`, key: newId() });
  for (const type of ['state', 'room_joined', 'join_failed', 'room_left', 'chat', 'message', 'error']) {
    chat.addEventListener(type, ({ detail }) => told.push([type, structuredClone(detail)]));
  }
  window.heard = () => told.reduce((sum, [type, { messages }]) => sum + (type === 'chat' ? 1 : messages?.length ?? 0), 0);
  window.pending = () => said.filter(({ status }) => status === 'pending').length;
  for (const room of rooms) chat.join(room);
  window.talk = () => {
    // So often that some are on their way when a connection ends; and while nobody answers, it is enough that some wait.
    window.timer = setInterval(() => {
      if (pending() < 20) said.push(chat.say(rooms[said.length % rooms.length], `${name} ${said.length}`));
    }, 25);
  };
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens pages as different visitors; none may have had an error of its own."""
    contexts, errors = [], []

    def open_page(url):
        contexts.append(browser.new_context())
        contexts[-1].set_default_timeout(WAIT_MS)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


class Talk:
    """Pages that talk with one another, until they are told to end."""

    def __init__(self, open_page, front):
        # A document of this origin that runs no script of its own.
        self.pages = {name: open_page(f"{front.url}/static/chat.css") for name in PEOPLE}
        for name, page in self.pages.items():
            page.evaluate(TALKING, [name, ROOMS])
        # Everybody is there from the first message on.
        self.wait_for("count => told.filter(([type]) => type === 'room_joined').length === count", len(ROOMS))
        for page in self.pages.values():
            page.evaluate("talk()")
        self.goes_on()

    def wait_for(self, condition, argument=None):
        """A condition is a function: the policy of the page forbids to evaluate an expression again and again."""
        for page in self.pages.values():
            page.wait_for_function(condition, arg=argument)

    def goes_on(self, count=40):
        """Everybody hears so many more, whatever happens meanwhile."""
        before = {name: page.evaluate("heard()") for name, page in self.pages.items()}
        for name, page in self.pages.items():
            page.wait_for_function("count => heard() >= count", arg=before[name] + count)

    def end(self):
        for page in self.pages.values():
            page.evaluate("clearInterval(timer)")
        self.wait_for("() => pending() === 0")
        total = sum(page.evaluate("said.length") for page in self.pages.values())
        self.wait_for("count => heard() >= count", total)
        self.said = {name: page.evaluate("said") for name, page in self.pages.items()}
        self.told = {name: page.evaluate("told") for name, page in self.pages.items()}


def heard(told):
    """By room, what a page was told in this order, as a sound page is told it: without a gap, an error, or a lost place."""
    rooms = {room: [] for room in ROOMS}
    for kind, detail in told:
        if kind == "room_joined":
            assert detail["first"] or detail["recovered"], detail
        if kind in ["room_joined", "chat"]:
            assert not detail["gap"], detail
            rooms[detail["room"]] += detail["messages"] if kind == "room_joined" else [detail]
        elif kind == "message":
            assert detail["status"] == "sent", detail
        else:
            assert kind == "state" and detail["name"] != "closed", (kind, detail)
    keys = ["position", "username", "content", "timestamp"]
    return {room: [tuple(one[key] for key in keys) for one in messages] for room, messages in rooms.items()}


def check(talk):
    """Everybody was told all that was said and acknowledged, once and in one order, at positions without a hole."""
    anybody, *others = [heard(told) for told in talk.told.values()]
    for other in others:
        assert other == anybody
    for room, messages in anybody.items():
        epoch = messages[0][0].split(":")[0]
        assert [position for position, *_ in messages] == [f"{epoch}:{seq}" for seq in range(1, len(messages) + 1)]
        for name, said in talk.said.items():
            mine = [(position, content) for position, author, content, _ in messages if author == name]
            assert mine == [(one["position"], one["content"]) for one in said if one["room"] == room]


def test_pages_talk_through_a_rolling_restart_as_if_there_were_none(start_engine, start_nodes, start_front, open_page):
    nodes = start_nodes(start_engine().url, *DELAY)
    talk = Talk(open_page, start_front(nodes))
    roll(nodes, talk)
    talk.end()
    check(talk)
    for told in talk.told.values():
        states = [detail for kind, detail in told if kind == "state"]
        lost = [after["code"] for before, after in pairwise(states) if before["name"] == "connected"]
        # Every node has stopped, and each of them, not the proxy, has sent its people on.
        assert lost and set(lost) == {1001}
        assert states[-1]["name"] == "connected"
    for room, messages in heard(talk.told[PEOPLE[0]]).items():
        for node in nodes:
            assert node.rest.get(f"/rooms/{room}/history").json()["position"] == messages[-1][0]


def renewals(nodes):
    return sum(len(node.logged("rooms_renewed")) for node in nodes)


def test_the_page_shows_nothing_twice_when_the_engine_starts_anew(start_engine, start_nodes, start_front, open_page):
    engine = start_engine("--appendonly", "yes", "--appendfsync", "always")
    nodes = start_nodes(engine.url)
    front = start_front(nodes)
    one, two = (open_page(f"{front.url}/?username={name}&room=tech") for name in ["one", "two"])
    for page in [one, two]:
        page.locator("#enter").click()
        expect(page.locator("#place")).to_have_text("tech")
    said = []

    def say(page):
        said.append(f"message {len(said)}.")
        page.locator("#text").fill(said[-1])
        page.locator("#text").press("Enter")
        for reader in [one, two]:
            expect(reader.locator(".messages .bubble")).to_have_text(said)

    for page in [one, two, one]:
        say(page)
    engine.restart()
    for page in [one, two]:
        # What the engine has kept is the page's already; but the room has a new epoch, and the page says so.
        expect(page.locator(".gap")).to_have_count(1)
        expect(page.locator(".messages .bubble")).to_have_text(said)
    # A second time at once: one notice is enough.
    renewed = renewals(nodes)
    engine.restart()
    until(lambda: renewals(nodes) == 2 * renewed)
    nodes.wait_until_ready()
    for page in [two, one]:
        say(page)
    for page in [one, two]:
        expect(page.locator(".messages li.gap ~ li .bubble")).to_have_text(said[3:])
        expect(page.locator(".gap")).to_have_count(1)
