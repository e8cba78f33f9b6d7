"""Fixtures of the browser tests: the real server, a real Chromium, visitors who use the page, a path that can be cut.

    pip install pytest playwright axe-playwright-python
    SARANG_BIN=target/release/sarang SARANG_CHROMIUM=/usr/bin/chromium pytest tests/browser
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as Timeout
from playwright.sync_api import expect, sync_playwright

BIN = os.environ.get("SARANG_BIN") or str(Path(__file__).parents[2] / "target/release/sarang")
CHROMIUM = os.environ.get("SARANG_CHROMIUM", "/usr/bin/chromium")
STATIC = Path(__file__).parents[2] / "static"
SCRIPT = re.compile(r"/static/([a-z-]+)(?:\.[0-9a-f]{16})?\.js$")
CHROMIUM_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
# Not a threshold: after this time, an expected change will never come.
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)

# Messages that Chromium itself writes to the console when a connection is cut or a request is refused on purpose.
CUT = ("WebSocket connection to", "ERR_CONNECTION", "ERR_CONTENT_LENGTH_MISMATCH", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED")
REFUSED = ("Failed to load resource",)


class Server:
    """A server process that can be killed and started again on its port."""

    # What runs the binary, if not the system itself.
    runner = ()

    def __init__(self, *options):
        self.options = options
        self.port = 0
        self.start()

    def start(self):
        # Tests begin in no room, unless they are about the lobby.
        lobby = () if "--lobby" in self.options else ("--lobby", "")
        command = [*self.runner, BIN, "--listen", f"127.0.0.1:{self.port}", *lobby, *self.options]
        # The server would take SARANG_BIN for an option.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SARANG_")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean)
        for line in self.process.stdout:
            if line.startswith("listening on http://"):
                self.url = line.split()[-1]
                self.port = int(self.url.rsplit(":", 1)[1])
                # stdout is not read any further: without this, a server that prints much would block on a full pipe.
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        raise RuntimeError(f"{BIN} ended with {self.process.wait()} before it listened")

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def has_room(self, name, users):
        """Waits until the room has this number of users."""
        until = time.monotonic() + WAIT_MS / 1000
        while True:
            with urllib.request.urlopen(f"{self.url}/rooms/{urllib.parse.quote(name)}") as response:
                if json.load(response)["users"] == users:
                    return
            assert time.monotonic() < until, f"{name} does not get to {users} users"


class Relay:
    """Stands before the server, and takes the connections of its clients one by one, with `_take`."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self._take(near)

    def close(self):
        self.listener.close()


class Proxy(Relay):
    """A TCP path to the server that can be cut, closed to new connections, or made to discard the server's answers."""

    def __init__(self, port):
        self.is_open = True
        self.answers = True
        self.pairs = []
        # A connection that is being accepted while all are cut must be cut, too.
        self.lock = threading.Lock()
        super().__init__(port)

    def _take(self, near):
        with self.lock:
            if not self.is_open:
                near.close()
                return
            pair = (near, socket.create_connection(self.target))
            self.pairs.append(pair)
        threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, near, far):
        try:
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is near:
                        far.sendall(data)
                    elif self.answers:
                        near.sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            near.close()
            far.close()

    def cut(self):
        """Ends every connection; new ones pass unless `is_open` is set to False first."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.is_open = False
        super().close()
        self.cut()


NOTE = """(selector) => {
  const element = document.querySelector(selector);
  const look = LOOK;
  const seen = (window.noted ??= {})[selector] = [look(element)];
  new MutationObserver(() => seen.push(look(element)))
    .observe(element, { attributes: true, childList: true, characterData: true, subtree: true });
}"""

# What the pages say for a few seconds: a test on a busy machine may look when it is gone.
PASSING = """addEventListener('DOMContentLoaded', () => {
  window.passing = [];
  window.heard = 0;
  for (const place of document.querySelectorAll('#told, #notice, #spoken')) {
    new MutationObserver(() => place.textContent && passing.push(place.textContent)).observe(place, { childList: true });
  }
})"""
HEARD = """([wanted, isPattern]) => {
  const is = isPattern ? (text) => new RegExp(wanted).test(text) : (text) => text.includes(wanted);
  const at = passing.findIndex((text, index) => index >= heard && is(text));
  if (at >= 0) heard = at + 1;
  return at >= 0;
}"""


def serve_modules(context):
    """Gives the pages of a browser context their scripts as they are in the folder, so that a test can import the modules. The
    server gives each page one script."""
    context.route(SCRIPT, lambda route: route.fulfill(path=STATIC / f"{SCRIPT.search(route.request.url)[1]}.js"))


class Visitor:
    """A visitor of the page. Elements are found by id, so that the same steps work in every language.

    What `page.wait_for_function` waits for must be a function: an expression is evaluated anew for each look, and the pages'
    policy forbids that to all looks but the first.
    """

    def __init__(self, page, url):
        self.page = page
        self.url = url
        self.problems = []
        self.expected = ()
        page.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('CSP', e.violatedDirective, e.blockedURI))")
        page.add_init_script(PASSING)

    def find(self, selector, **filters):
        return self.page.locator(selector, **filters)

    def with_modules(self):
        serve_modules(self.page.context)
        return self

    def enter(self, name, room=None):
        self.page.goto(self.url)
        self.find("#name").fill(name)
        self.find("#enter").click()
        self.is_connected()
        if room:
            self.create_or_join(room)
        return self

    def enter_by_touch(self, name, room):
        self.page.goto(f"{self.url}/?room={room}")
        self.find("#name").fill(name)
        self.find("#enter").tap()
        self.is_in(room)
        return self

    def is_connected(self):
        expect(self.find("#state")).to_have_class("state is-connected")

    def hurries(self):
        """Makes the page reconnect now; it may have done so by itself already."""
        self.page.evaluate("dispatchEvent(new Event('online'))")

    def noting(self, selector, look="(element) => element.textContent"):
        """Records the text of an element, or the value of a JavaScript function of it, now and after every change,
        however short; `noted` returns the record."""
        self.page.evaluate(NOTE.replace("LOOK", look), selector)

    def noted(self, selector):
        return self.page.evaluate("(selector) => noted[selector]", selector)

    def has_noted(self, selector, what):
        """Waits until this, or a text with this, is in the record."""
        self.page.wait_for_function("([selector, what]) => noted[selector].some((each) => each === what || each.includes?.(what))", arg=[selector, what])

    def was_told(self, text):
        """Waits until the page has said this among what it says for a few seconds, after what was asked for before: it may be
        gone by now."""
        wanted = [text.pattern, True] if isinstance(text, re.Pattern) else [text, False]
        try:
            self.page.wait_for_function(HEARD, arg=wanted)
        except Timeout:
            raise AssertionError(f"{text!r} is not told, but {self.page.evaluate('passing.slice(heard)')}") from None

    def settles(self):
        """Waits until all pending changes have been painted."""
        self.page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")

    def create(self, room, seats=100):
        self.find("#create-room").click()
        self.find("#room-name").fill(room)
        self.find("#room-limit").fill(str(seats))
        self.find("#create-form [type=submit]").click()

    def create_or_join(self, room):
        """As a visitor would: creates the room, and joins it if it exists already."""
        self.create(room)
        # Wait until the dialog is closed: before the answer comes, a visible composer may belong to another room.
        expect(self.find("#join-existing:visible, body:not(:has(#create[open])) #composer:visible").first).to_be_visible()
        if self.find("#join-existing").is_visible():
            self.expects(*REFUSED)
            self.find("#join-existing").click()
        self.is_in(room)

    def is_in(self, room):
        expect(self.find("#place")).to_have_text(room)
        expect(self.find("#people-count")).not_to_be_empty()

    def open(self, conversation):
        self.find("#joined button, #whispers button", has=self.page.get_by_text(conversation, exact=True)).click()
        expect(self.find("#place")).to_have_text(conversation)

    def whisper_to(self, name):
        self.find("#persons button", has=self.page.get_by_text(name, exact=True)).click()
        expect(self.find("#private")).to_be_visible()

    def write(self, text):
        self.find("#text").fill(text)
        self.find("#text").press("Enter")

    def say(self, text):
        self.write(text)
        self.sees(text)
        expect(self.find(".outgoing li")).to_have_count(0)

    def message(self, text):
        return self.find(".messages .bubble", has_text=text)

    def sees(self, text):
        """Exactly once."""
        expect(self.message(text)).to_have_count(1)

    def sees_in_order(self, texts):
        expect(self.find(".messages .bubble")).to_have_text(texts)

    def expects(self, *problems):
        self.expected += problems
        return self

    def unexpected_problems(self):
        return [problem for problem in self.problems if not any(part in problem for part in self.expected)]


@pytest.fixture
def server_options():
    return ()


@pytest.fixture
def server(server_options):
    server = Server(*server_options)
    yield server
    server.kill()


@pytest.fixture
def make_proxy():
    made = []

    def make(port):
        made.append(Proxy(port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def proxy(make_proxy, server):
    return make_proxy(server.port)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser, server):
    """Makes visitors, each with its own browser context; none may leave an error in the console."""
    made = []

    def make(url=None, locale="ko-KR", **options):
        context = browser.new_context(locale=locale, **options)
        context.set_default_timeout(WAIT_MS)
        made.append(Visitor(context.new_page(), url or server.url))
        return made[-1]

    yield make
    problems = [problem for one in made for problem in one.unexpected_problems()]
    for one in made:
        one.page.context.close()
    assert problems == []
