"""The figures of the dashboard: of the realtime server itself, and whatever a back end posts."""

import re
import time

import pytest
from playwright.sync_api import expect

from accessibility import violations
from staged import Staged
from test_dashboard import watcher  # noqa: F401

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
FINE = {"cpu": 20.5, "memory": 40, "disk": 50}
API = {
    "requests": 50, "avg_response_ms": 3.5, "error_rate": 0.2, "total_requests": 1000, "total_error_rate": 0.1, "subscribers": 1,
    "p50_ms": 1.5, "p95_ms": 20, "p99_ms": 45.25, "seconds": 5, "rooms": 7, "users": 1234, "websockets": 1300, "event_streams": 6, "connections": 1310,
    "messages": 25, "deliveries": 5000, "outbox_peak_bytes": 12_300, "refused": 0, "slow_consumers": 0,
    "store_up": None, "store_queue": None, "store_commit_ms": None, "engine_up": None,
}  # fmt: skip


@pytest.fixture
def stage(server):
    stage = Staged(server)
    yield stage
    stage.close()


@pytest.fixture
def board(watcher, stage):  # noqa: F811
    """Opens the dashboard of the stage."""

    def open_board(**options):
        return watcher(url=stage.url, **{"locale": "en-US", "viewport": WIDE, **options})

    return open_board


def business(stage, **figures):
    stage.tell("business_metrics", active_users=3, **{"simulated": [], **figures})


# The server's own


def test_the_realtime_servers_own_figures_are_shown(board, stage):
    stage.tell("api_metrics", **API)
    one = board()
    shown = {
        "people": ["1,234", "7"], "connections": ["1,300", "6", "4"], "traffic": ["1,000/s", "5/s"], "outbox": ["12.3 kB"],
        "refusals": ["0", "0"], "requests": ["10/s"], "percentiles": ["1.5 ms", "20.0 ms", "45.3 ms"],
    }  # fmt: skip
    for figure, values in shown.items():
        expect(one.find(f"#{figure} .figure-value")).to_have_text(values)
        expect(one.find(f"#{figure}")).to_be_visible()
    for absent in ("#store", "#response", "#check-store", "#check-engine"):
        expect(one.find(absent)).to_be_hidden()


def test_store_and_engine_are_shown_where_there_are_some(board, stage):
    stage.tell("system_metrics", **FINE)
    stage.tell("api_metrics", **{**API, "store_up": True, "store_queue": 2, "store_commit_ms": 1.25, "engine_up": True})
    one = board()
    expect(one.find("#store .figure-value")).to_have_text("1.3 ms")
    expect(one.find("#store .figure-facts")).to_contain_text("2 waiting")
    expect(one.find("#check-engine")).to_have_text("Engine up")
    stage.tell("api_metrics", **{**API, "store_up": False, "store_queue": 900, "store_commit_ms": None, "engine_up": True})
    expect(one.find("#check-store")).to_have_text("Store down critical")
    expect(one.find("#verdict")).to_have_text("1 problem")


def test_a_server_that_does_not_tell_them_has_no_empty_charts(board, stage):
    stage.tell("api_metrics", requests=3, avg_response_ms=1, error_rate=0, total_requests=3)
    one = board()
    expect(one.find("#response .figure-value")).to_have_text("1.0 ms")
    for absent in ("#realtime", "#percentiles"):
        expect(one.find(absent)).to_be_hidden()


def test_one_look_tells_whether_all_is_well(board, stage):
    stage.tell("system_metrics", **FINE)
    stage.tell("api_metrics", **API)
    one = board()
    expect(one.find("#verdict")).to_have_text("All is well")
    stage.tell("system_metrics", **{**FINE, "cpu": 75})
    expect(one.find("#verdict")).to_have_text("1 thing to look at")
    expect(one.find("#check-cpu")).to_have_text(re.compile(r"75\.0% high"))
    stage.tell("api_metrics", **{**API, "error_rate": 50, "refused": 3})
    expect(one.find("#verdict")).to_have_text("3 problems")
    expect(one.find("#check-errors")).to_have_attribute("data-level", "critical")
    stage.tell("system_metrics", **FINE)
    stage.tell("api_metrics", **API)
    expect(one.find("#verdict")).to_have_text("All is well")
    # What was known is no knowledge of now.
    one.expects("ERR_", "Failed to load resource")
    stage.close()
    expect(one.find("#verdict")).to_have_text("Not known now")


def test_the_last_quarter_of_an_hour_is_seen_at_a_glance(board, stage):
    now = time.time()
    bad = [number for number in range(60) if 20 <= number < 24]
    times = [now - 15 * (60 - number) for number in range(60)]
    cpu = [95 if number in bad else 20 for number in range(60)]
    stage.series = {"last_event_id": "", "system": {"time": [round(at * 1000) for at in times], "cpu": cpu}}
    stage.tell("system_metrics", **FINE)
    stage.tell("api_metrics", **API)
    one = board()
    expect(one.find("#verdict")).to_have_text("All is well")
    expect(one.find(".history")).to_have_attribute("aria-label", re.compile(r"^Last 15 min: high for 0 min, critical for (1|1\.5) min$"))
    expect(one.find(".history-critical")).to_have_attribute("d", re.compile("^M"))
    expect(one.find(".history-high")).to_have_attribute("d", "")


def test_where_nothing_was_answered_no_time_is_drawn(board, stage):
    stage.tell("api_metrics", **{**API, "p50_ms": 1})
    stage.tell("api_metrics", **{**API, "p50_ms": None, "p95_ms": None, "p99_ms": None})
    one = board()
    expect(one.find("#percentiles .figure-value")).to_have_text(["–", "–", "–"])


# What a back end posts


def test_posted_figures_are_drawn_whatever_their_names(board, stage):
    names = ["visitors", "방문자", "<img src=x onerror=alert(1)>", "__proto__", "constructor", "a" * 300, "checkout_ms", "cache_bytes", "temperature"]
    one = board()
    for step in (1, 2):
        business(stage, **{name: 1234.5 * step for name in names})
    for name in names:
        figure = one.find("#business article", has=one.page.get_by_text(name, exact=True))
        expect(figure).to_have_count(1)
        expect(figure.locator(".chart .chart-line")).to_have_attribute("d", re.compile("^M.*L"))
    values = {name: one.find("#business article", has=one.page.get_by_text(name, exact=True)).locator(".figure-value") for name in names}
    expect(values["visitors"]).to_have_text("2,469")
    expect(values["checkout_ms"]).to_have_text("2.47s")
    expect(values["cache_bytes"]).to_have_text("2.47 kB")
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    one.page.set_viewport_size(PHONE)
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_no_number_is_not_drawn(board, stage):
    business(stage, name="x", nested={"a": 1}, yes=True, list=[1], visitors=1)
    one = board()
    expect(one.find("#business article")).to_have_count(2)


def figure_of(one, name):
    return one.find("#business article", has=one.page.get_by_text(name, exact=True))


def labels_of(figure):
    return figure.locator(".chart-scale").first.locator("text:not([hidden])").all_text_contents()


@pytest.mark.parametrize("value, shown, labels", [
    (-12.5, "-12.5", ["-12.75", "-12.5", "-12.25"]),
    (0, "0", ["0", "0.5", "1"]),
    (1e300, "1E300", ["9.8E299", "1E300", "1.02E300"]),
    (2.5e17, "2.5E17", ["2.45E17", "2.5E17", "2.55E17"]),
    (1e-300, "1E-300", ["0", "0.0000000005", "0.000000001"]),
])  # fmt: skip
def test_a_figure_that_stays_the_same_is_drawn_whatever_its_size(board, stage, value, shown, labels):
    business(stage, strange=value)
    business(stage, strange=value)
    one = board()
    figure = figure_of(one, "strange")
    expect(figure.locator(".figure-value")).to_have_text(shown)
    expect(figure.locator(".chart-line")).to_have_attribute("d", re.compile("^M.*L"))
    expect(figure.locator(".chart-scale").first.locator("text").first).to_have_text(labels[0])
    assert labels_of(figure) == labels


def test_a_number_too_great_for_any_scale_is_none(board, stage):
    business(stage, too_much=1.7e308, enough=1)
    one = board()
    expect(figure_of(one, "enough")).to_be_visible()
    expect(figure_of(one, "too_much")).to_have_count(0)


def test_a_name_of_which_nothing_is_seen_is_told_as_none(board, stage):
    business(stage, **{"": 1, "  ": 2, "\u3164\u200b": 3})
    one = board()
    expect(one.find("#business .figure-name")).to_have_text(["People connected", "No name", "No name", "No name"])
    assert violations(one) == []


def test_a_long_name_does_not_push_its_chart_away(board, stage):
    name = "a" * 900
    business(stage, **{name: 1})
    figure = figure_of(board(), name)
    assert figure.locator(".figure-name").bounding_box()["height"] < 80
    expect(figure.locator(".figure-name")).to_have_attribute("title", name)


def test_more_figures_than_fit_are_told_of(board, stage):
    business(stage, **{f"figure {number}": number for number in range(40)})
    one = board()
    expect(one.find("#business article")).to_have_count(25)
    expect(one.find("#more-figures")).to_have_text("16 more are not drawn.")


def test_revenue_and_orders_are_shown_only_when_they_come(board, stage):
    business(stage)
    one = board()
    expect(one.find("#users .figure-value")).to_have_text("3")
    expect(one.find("#business article")).to_have_count(1)
    business(stage, orders=5, simulated=["orders"])
    expect(one.find("#orders .figure-value")).to_have_text("5")
    expect(one.find("#orders .tag")).to_have_text("simulated")
    expect(one.find("#revenue")).to_have_count(0)


def test_a_posted_figure_is_in_the_table_too(board, stage):
    business(stage, visitors=10)
    business(stage, visitors=14)
    one = board()
    one.find("#numbers summary").click()
    row = one.find("#rows tr", has=one.page.get_by_text("visitors", exact=True))
    expect(row.locator("td")).to_have_text(["14", "+4", "10", "12", "14"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_of_any_impact(board, stage, scheme, viewport):
    stage.tell("system_metrics", **{**FINE, "cpu": 75, "disk": 95})
    stage.tell("api_metrics", **{**API, "refused": 2, "store_up": False, "store_queue": 1, "store_commit_ms": 1, "engine_up": True})
    business(stage, visitors=10, revenue=1, orders=2, simulated=["revenue"])
    one = board(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    expect(one.find("#verdict")).to_have_text(re.compile("problems"))
    one.find("#numbers summary").click()
    assert violations(one) == []
