"""What the dashboard draws: samples at their own times, exact scales, and values that are read without covering the lines."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from conftest import Visitor
from test_dashboard import CUT, drawn_line, events_into, is_live, is_lost, last_id, post_business, wait_for_id, waits_long, watcher  # noqa: F401

WIDE = {"width": 1280, "height": 900}


def told(kind, number, at=None, **data):
    """An event as the server sends it. `at` is its time in seconds since 1970."""
    if at is not None:
        milliseconds = round(at * 1000)
        data["time"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03}Z"
    return f"event: {kind}\ndata: {json.dumps(data)}\nid: {number}\n\n"


def gap(requested, oldest, newest):
    return f"event: gap\ndata: {json.dumps({'requested': str(requested), 'oldest': oldest, 'newest': newest, 'restarted': False})}\n\n"


def answers_with(one, *bodies):
    """Answers the page's streams with these bodies, one after the other, in place of the server; each ends at once."""
    left = list(bodies)
    one.page.route(re.compile(r"/series(\?.*)?$"), lambda route: route.fulfill(content_type="application/json", body="null"))
    one.page.route("**/sse/**", lambda route: route.fulfill(content_type="text/event-stream", body=left.pop(0) if left else ""))
    one.expects(*CUT)


def across(one, chart, line=0):
    """The places of the points of a drawn line, in pixels from the left."""
    drawn = drawn_line(one, chart, line)
    return [float(x) for x in re.findall(r"[MLH]([\d.]+)", drawn)]


def plot_width(one, chart):
    return one.find(f"{chart} .chart-grid").evaluate("(grid) => grid.getBBox().width")


# Times


def test_figures_that_are_posted_fast_are_drawn_at_the_times_they_were_posted(watcher):
    now = time.time()
    events = [("system_metrics", now - 50 + second, {"cpu": 1, "memory": 2, "disk": 3}) for second in range(50)]
    events += [("business_metrics", now - 3 + number / 10, {"active_users": 1, "revenue": number, "simulated": []}) for number in range(30)]
    events.sort(key=lambda event: event[1])
    body = "".join(told(kind, number, at, **data) for number, (kind, at, data) in enumerate(events, 1))
    # All of them are within the time shown, also when a busy machine takes long to open the page.
    one = watcher(query="?minutes=5", viewport=WIDE, before=lambda one: (waits_long(one), answers_with(one, body)))
    expect(one.find("#revenue .figure-value")).to_have_text("29")
    points = across(one, "#revenue")
    assert len(points) == 30
    second = plot_width(one, "#revenue") / 300
    assert 2.5 * second < points[-1] - points[0] < 3.5 * second
    machine = across(one, "#machine")
    second = plot_width(one, "#machine") / 300
    assert 48 * second < machine[-1] - machine[0] < 50 * second


def test_a_server_that_tells_no_times_does_not_have_posted_figures_put_back(watcher):
    events = "".join(told("business_metrics", number, active_users=1, revenue=number, simulated=[]) for number in range(1, 31))
    one = watcher(query="?minutes=1", viewport=WIDE, before=lambda one: (waits_long(one), answers_with(one, events)))
    expect(one.find("#revenue .figure-value")).to_have_text("30")
    points = across(one, "#revenue")
    assert points[-1] - points[0] < 2, "all have come at once"


def test_a_gap_is_told_with_the_time_of_the_events_that_follow_it(watcher):
    then = time.time() - 4 * 60
    first = told("system_metrics", 10, then - 1800, cpu=1, memory=1, disk=1)
    second = gap(10, 500, 501) + "".join(told("system_metrics", 500 + number, then + number, cpu=2, memory=2, disk=2) for number in range(2))
    second += "".join(told("business_metrics", 502 + number, then + 2 + number / 100, active_users=1, revenue=number) for number in range(200))
    one = watcher(locale="en-US", before=lambda one: (waits_long(one.with_modules()), answers_with(one, first, second)))
    is_lost(one)
    one.find("#try-now").click()
    right = one.page.evaluate("(time) => import('/static/dashboard-words.js').then(({ clock }) => clock(time))", then * 1000)
    expect(one.find("#told")).to_contain_text(f"{right} — events 11–499 are gone (489).")


def test_a_page_whose_clock_is_wrong_shows_the_samples_nevertheless(watcher):
    one = watcher(query="?minutes=1", before=lambda one: one.page.add_init_script("{ const now = Date.now; Date.now = () => now() + 3_600_000; }"))
    is_live(one)
    one.page.wait_for_function("() => document.querySelector('#machine .chart .chart-line').getAttribute('d').split('L').length > 3")
    points = across(one, "#machine")
    assert len(points) >= 4
    assert points[-1] > plot_width(one, "#machine") * 0.9


# Scales


@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_every_label_of_a_scale_is_exact(watcher, locale):
    one = watcher(locale=locale, before=Visitor.with_modules)
    shown = one.page.evaluate(
        """import('/static/dashboard-words.js').then(({ scale }) => ({
          halves: scale([0, 2.5, 5]), small: scale([0, 0.05, 0.1, 0.15000000000000002]), percent: scale([0, 12.5, 25], 'percent'),
          times: scale([0, 500, 1000, 1500], 'ms'), bytes: scale([0, 32_000, 64_000], 'bytes'), large: scale([1_250_000, 1_252_500, 1_255_000]),
        }))"""
    )
    assert shown["halves"] == ["0", "2.5", "5"]
    assert shown["small"] == ["0", "0.05", "0.1", "0.15"]
    assert shown["percent"] == ["0%", "12.5%", "25%"]
    assert [label.replace("\u202f", " ").replace(" ", "") for label in shown["bytes"]] == ["0kB", "32kB", "64kB"]
    unit = "s" if locale == "en-US" else "초"
    assert [label.replace(" ", "") for label in shown["times"]] == [f"{number}{unit}" for number in ("0", "0.5", "1", "1.5")]
    digits = [re.sub(r"[^\d.]", "", label) for label in shown["large"]]
    assert digits == (["1.25", "1.2525", "1.255"] if locale == "en-US" else ["125", "125.25", "125.5"])


def test_the_scales_of_the_charts_have_their_units(watcher):
    one = watcher(locale="en-US", viewport=WIDE)
    is_live(one)
    expect(one.find("#errors .figure-value").first).to_have_text(re.compile(r"\d"))
    labels = lambda chart: one.find(f"{chart} .chart-scale").first.locator("text:not([hidden])").all_text_contents()  # noqa: E731
    assert labels("#machine")[0] == "0%" and labels("#machine")[-1] == "100%"
    assert all(label.endswith("%") for label in labels("#errors"))


# Reading values


@pytest.mark.parametrize("viewport", [WIDE, {"width": 320, "height": 800}], ids=["wide", "narrow"])
def test_values_are_read_above_the_lines(watcher, viewport):
    one = watcher(locale="en-US", viewport=viewport, query="?minutes=1")
    is_live(one)
    wait_for_id(one, last_id(one) + 3)
    for chart in ("#machine", "#requests"):
        one.find(f"{chart} .plot").focus()
        one.page.keyboard.press("ArrowLeft")
        expect(one.find(f"{chart} .chart-readout")).to_be_visible()
        expect(one.find(f"{chart} .chart-readout")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d"))
        readout, top, width, texts = one.find(chart).evaluate(
            """(figure) => {
              const box = (selector) => figure.querySelector(selector).getBBox();
              const { x, y, width, height } = box('.chart-readout rect');
              const text = [...figure.querySelectorAll('.chart-readout text')].map((each) => each.getBBox()).map((each) => [each.x, each.x + each.width]);
              return [{ left: x, right: x + width, bottom: y + height }, box('.chart-grid').y, figure.querySelector('.plot').clientWidth, text];
            }"""
        )
        assert readout["bottom"] < top, "it covers what is drawn"
        assert 0 <= readout["left"] and readout["right"] <= width + 1
        assert all(readout["left"] <= start and end <= readout["right"] for start, end in texts)
        assert all(end < start for (_, end), (start, _) in zip(texts, texts[1:])), "values overlap"
