"""The event streams of the dashboard on a false server: what is said of a connection that broke, however slow the machine."""

import re

import pytest
from playwright.sync_api import expect

# The false server: the test opens and breaks its streams, and sends what it likes. What waits for 15 s is in its hands, too.
FALSE_SOURCE = """
window.sources = [];
window.EventSource = class extends EventTarget {
  static CONNECTING = 0; static OPEN = 1; static CLOSED = 2;
  readyState = 0;
  constructor(url) { super(); this.url = url; sources.push(this); }
  close() { this.readyState = 2; }
  // The server's hand:
  opens() { this.readyState = 1; this.dispatchEvent(new Event('open')); }
  breaks() { this.readyState = 0; this.dispatchEvent(new Event('error')); }
  tells(id, time) {
    const data = JSON.stringify({ cpu: 1, memory: 2, disk: 3, time: new Date(time).toISOString() });
    this.dispatchEvent(new MessageEvent('system_metrics', { data, lastEventId: String(id) }));
  }
};
Math.random = () => 20; // the page itself does not reconnect
window.over = [];
const { setTimeout: set, clearTimeout: clear } = window;
window.setTimeout = (run, ms, ...rest) => (ms === 15_000 ? -over.push(run) : set(run, ms, ...rest));
window.clearTimeout = (id) => (id < 0 ? over[-id - 1] = null : clear(id));
"""


@pytest.fixture
def board(visitor, server):
    """The dashboard, connected and with an event."""
    one = visitor(url=f"{server.url}/dashboard", locale="en-US")
    one.page.add_init_script(FALSE_SOURCE)
    one.page.route(re.compile(r"/series$"), lambda route: route.fulfill(json=None))
    one.page.goto(one.url)
    one.page.wait_for_function("() => sources.length === 1")
    one.page.evaluate("sources[0].opens(); sources[0].tells(1, Date.now());")
    expect(one.find("#last-id")).to_have_text("1")
    return one


def returns(one, events=""):
    """The connection breaks, something happens meanwhile, and it is open again."""
    one.page.evaluate("sources.at(-1).breaks(); window.lost = Date.now();")
    expect(one.find("#banner")).to_be_visible()
    one.find("#try-now").click()
    one.page.evaluate(f"sources.at(-1).opens(); {events}")
    one.is_connected()


def test_whoever_is_back_is_told_so_each_time_for_as_long_as_the_first_time(board):
    for number in (2, 3):
        returns(board, f"sources.at(-1).tells({number}, lost);")
        board.was_told("nothing was missed: 1 event caught up")
    # The time of the first notice is over; it must not take the second one along.
    board.page.evaluate("over[0]?.()")
    expect(board.find("#told")).to_contain_text("nothing was missed")
    board.page.evaluate("over.at(-1)()")
    expect(board.find("#told")).to_be_empty()


def test_a_notice_stays_while_somebody_is_at_its_button(board):
    returns(board, "sources.at(-1).tells(2, lost);")
    board.find("#told button").focus()
    board.page.evaluate("over.at(-1)()")
    expect(board.find("#told")).to_contain_text("nothing was missed")
    board.page.evaluate("document.activeElement.blur(); over.at(-1)()")
    expect(board.find("#told")).to_be_empty()


def test_what_was_missed_is_told_also_when_it_comes_late(board):
    returns(board)
    # Longer than any burst of events lasts.
    board.page.evaluate("new Promise((resolve) => setTimeout(resolve, 1_500))")
    board.page.evaluate("sources.at(-1).tells(2, lost); sources.at(-1).tells(3, lost);")
    board.was_told("nothing was missed: 2 events caught up")


def test_what_happens_after_the_return_is_not_called_caught_up(board):
    returns(board)
    board.page.evaluate("sources.at(-1).tells(2, Date.now() + 1_000);")
    expect(board.find("#last-id")).to_have_text("2")
    expect(board.find("#told")).to_be_empty()
    assert not [text for text in board.page.evaluate("passing") if "caught up" in text]
