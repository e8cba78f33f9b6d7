"""The dashboard in many tabs: a browser has six connections to a server for all of them."""

import json
import re
import time
import urllib.request

import pytest
from playwright.sync_api import expect

from conftest import WAIT_MS, serve_modules
from staged import Staged
from test_board import answers_with, told
from test_dashboard import Listener, drawn_line, events_into, is_live, last_id, pauses, pieces, until, wait_for_id, waits_long, watcher  # noqa: F401

TABS = 8
# What `document.hidden` says is in the hands of the test.
HIDING = """(() => {
  let isHidden = INITIALLY;
  Object.defineProperty(document, 'hidden', { get: () => isHidden });
  window.hide = (value) => { isHidden = value; document.dispatchEvent(new Event('visibilitychange')); };
})()"""
# The stream of a page without the page.
LISTENING = """async () => {
  const { Stream } = await import('/static/stream.js');
  window.ids = [];
  window.wrong = [];
  window.stream = new Stream({ ticket: () => { throw new Error('asked for a ticket'); } });
  stream.addEventListener('series', ({ detail }) => { window.filledTo = Number(detail.last_event_id) || 0; });
  stream.addEventListener('samples', ({ detail }) => ids.push(...detail.map(({ id }) => id)));
  for (const type of ['gap', 'resumed']) stream.addEventListener(type, () => wrong.push(type));
  stream.open('dashboard');
}"""


@pytest.fixture
def context(browser):
    """For pages in which nothing but the stream is loaded."""
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    serve_modules(context)
    yield context
    context.close()


def streams(server):
    """How many event streams the server has."""
    with urllib.request.urlopen(server.url + "/metrics") as page:
        return int(re.search(r"^sarang_connections\{kind=\"event_stream\"\} (\d+)", page.read().decode(), re.MULTILINE)[1])


def test_eight_tabs_share_a_stream_and_the_chat_opens_in_the_ninth(watcher, server):
    one = watcher(locale="en-US")
    pages = [one.page] + [one.page.context.new_page() for _ in range(TABS - 1)]
    for page in pages[1:]:
        page.goto(one.url)
    for page in pages:
        expect(page.locator("#state")).to_have_class("state is-connected")
        expect(page.locator("#gauge-cpu")).to_have_attribute("aria-valuetext", re.compile(r"\d"))
        expect(page.locator("#requests .figure-value")).to_have_text(re.compile(r"\d"))
    until(lambda: streams(server) == 1)
    chat = one.page.context.new_page()
    chat.goto(server.url)
    chat.locator("#name").fill("someone")
    chat.locator("#enter").click()
    expect(chat.locator("#state")).to_have_class("state is-connected")
    reached = last_id(one)
    for page in pages:
        page.wait_for_function("(n) => Number(document.querySelector('#last-id').dataset.id) > n", arg=reached)


def test_when_the_tab_with_the_stream_is_closed_the_others_miss_nothing(context, server):
    beside = Listener(server.url)
    pages = [context.new_page() for _ in range(4)]
    for page in pages:
        page.goto(f"{server.url}/livez")
        page.evaluate(LISTENING)
        page.wait_for_function("() => ids.length > 1")
    until(lambda: streams(server) == 2)
    while len(pages) > 1:
        pages.pop(0).close()
        for page in pages:
            page.wait_for_function("(count) => ids.length > count", arg=page.evaluate("ids.length") + 3)
    until(lambda: streams(server) == 2)
    ids = pages[0].evaluate("ids")
    assert ids == list(range(ids[0], ids[0] + len(ids))), "an event is missing, or came twice"
    assert pages[0].evaluate("wrong") == []
    until(lambda: max(beside.ids) >= ids[-1])
    assert set(ids) <= set(beside.ids)


def test_a_tab_that_does_not_answer_is_replaced(context, server):
    frozen, other = context.new_page(), context.new_page()
    for page in (frozen, other):
        page.goto(f"{server.url}/livez")
    frozen.evaluate(LISTENING)
    frozen.wait_for_function("() => ids.length > 1")
    # It holds the lock and says nothing, as a tab that the browser has frozen.
    frozen.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    other.evaluate(LISTENING)
    other.wait_for_function("() => ids.length > 1")
    assert other.evaluate("wrong") == []


def test_after_a_restart_every_tab_is_told_once_and_they_share_again(context, server):
    pages = [context.new_page() for _ in range(3)]
    for page in pages:
        page.goto(f"{server.url}/livez")
        page.evaluate(LISTENING)
        page.wait_for_function("() => ids.length > 1")
    pages[0].wait_for_function("() => ids.at(-1) > 8")
    server.kill()
    for page in pages:
        page.wait_for_function("() => stream.state.name === 'reconnecting'")
    server.start()
    for page in pages:
        # The ids begin anew.
        page.wait_for_function("() => wrong.length > 0 && ids.some((id, index) => id < ids[index - 1])")
    until(lambda: streams(server) == 1)
    for page in pages:
        page.evaluate("ids.splice(0, ids.length - 1)")
        page.wait_for_function("() => ids.length > 3")
        assert page.evaluate("wrong") == ["gap"]
        ids = page.evaluate("ids")
        assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_without_locks_each_tab_has_its_own_stream(watcher, server):
    one = watcher(before=lambda one: one.page.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })"))
    is_live(one)
    other = one.page.context.new_page()
    other.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    other.goto(one.url)
    expect(other.locator("#state")).to_have_class("state is-connected")
    until(lambda: streams(server) == 2)


def test_a_hidden_tab_lets_its_stream_go_and_comes_back_without_a_hole(watcher, server):
    seen = []
    one = watcher(locale="en-US", before=lambda one: (events_into(seen)(one), one.page.add_init_script(HIDING.replace("INITIALLY", "false"))))
    is_live(one)
    wait_for_id(one, last_id(one) + 3)
    before = last_id(one)
    one.page.evaluate("hide(true)")
    until(lambda: streams(server) == 0)
    one.page.evaluate("hide(false)")
    expect(one.find("#state")).to_have_class("state is-connected")
    wait_for_id(one, before + 12)
    expect(one.find("#told")).to_be_empty()
    assert 1 <= pieces(one) <= 1 + pauses(seen)
    if not pauses(seen):
        expect(one.find("#machine .chart-missing")).to_have_attribute("d", "")


def test_tabs_that_nobody_has_looked_at_yet_have_no_stream(watcher, server):
    # As on a page that came over plain HTTP from another machine, where tabs cannot share.
    no_locks = "Object.defineProperty(navigator, 'locks', { value: undefined });"
    one = watcher(before=lambda one: one.page.add_init_script(no_locks + HIDING.replace("INITIALLY", "true")))
    behind = [one.page.context.new_page() for _ in range(TABS - 2)]
    for page in behind:
        page.add_init_script(no_locks + HIDING.replace("INITIALLY", "true"))
        page.goto(one.url)
    shown = one.page.context.new_page()
    shown.add_init_script(no_locks)
    shown.goto(one.url)
    expect(shown.locator("#state")).to_have_class("state is-connected")
    assert streams(server) == 1
    behind[0].evaluate("hide(false)")
    expect(behind[0].locator("#state")).to_have_class("state is-connected")
    assert streams(server) == 2


# Opening


def columns(times, **fields):
    return {"time": [round(at * 1000) for at in times], **{name: [value] * len(times) for name, value in fields.items()}}


def test_it_opens_with_what_the_server_has_kept(watcher, server):
    beside = Listener(server.url)
    until(lambda: len(beside.ids) > 8)
    asked, seen = [], []
    one = watcher(query="?minutes=1", before=lambda one: (events_into(seen)(one), one.page.on("request", lambda request: asked.append(request.url))))
    expect(one.find("#machine .chart .chart-line").first).to_have_attribute("d", re.compile("^M.+L.+L.+L.+L"))
    is_live(one)
    after = [int(url.rpartition("=")[2]) for url in asked if "/sse/" in url]
    assert len(after) == 1
    wait_for_id(one, last_id(one) + 3)
    assert 1 <= pieces(one) <= 1 + pauses(seen)
    expect(one.find("#told")).to_be_empty()


def test_figures_that_are_made_up_say_so_when_they_come_with_the_series(watcher, server):
    stage = Staged(server)
    now = time.time()
    stage.series = {"last_event_id": "1", "system": columns([]), "api": columns([]), "business": columns([now - 10, now - 5], active_users=1, revenue=5)}
    stage.tell("business_metrics", now - 5, active_users=1, revenue=5, simulated=["revenue"])
    one = watcher(url=stage.url, locale="en-US")
    expect(one.find("#revenue .figure-value")).to_have_text("5")
    expect(one.find("#revenue .tag")).to_be_visible()
    one.settles()
    assert len(re.findall("[MLH]", drawn_line(one, "#revenue"))) == 2, "an event was drawn twice"
    stage.close()


@pytest.mark.parametrize("series", [None, [], {}, {"system": None}, {"last_event_id": "x", "system": {"time": 5, "cpu": None}}, {"api": {"time": [1], "p50_ms": "x"}}], ids=str)
def test_a_series_that_is_none_stops_nothing(watcher, server, series):
    stage = Staged(server)
    stage.series = series
    stage.tell("system_metrics", cpu=12, memory=1, disk=1)
    one = watcher(url=stage.url, locale="en-US")
    expect(one.find("#gauge-cpu .gauge-value")).to_have_text("12.0%")
    expect(one.find("#state")).to_have_class("state is-connected")
    stage.close()


@pytest.mark.parametrize("hole, whole", [(15, True), (120, False)], ids=["idle", "stopped"])
def test_a_sample_in_fifteen_seconds_is_drawn_as_a_line_and_a_longer_pause_is_not(watcher, hole, whole):
    now = time.time()
    times = [now - 600 + 15 * number for number in range(20)]
    times += [times[-1] + hole + 15 * number for number in range(10)]
    body = {"last_event_id": "7", "system": columns(times, cpu=20, memory=30, disk=40), "api": columns([]), "business": columns([])}
    live = "".join(told("system_metrics", 8 + number, times[-1] + 9 + number, cpu=21, memory=30, disk=40) for number in range(3))

    def before(one):
        waits_long(one)
        answers_with(one, live)
        one.page.unroute(re.compile(r"/series(\?.*)?$"))
        one.page.route(re.compile(r"/series(\?.*)?$"), lambda route: route.fulfill(content_type="application/json", body=json.dumps(body)))

    one = watcher(query="?minutes=15", before=before)
    expect(one.find("#gauge-cpu .gauge-value")).to_have_text("21.0%")
    one.settles()
    assert pieces(one) == (1 if whole else 2)
