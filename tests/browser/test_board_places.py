"""The dashboard on a phone, on paper, magnified, in forced colours, and as a person has chosen it."""

import re

import pytest
from playwright.sync_api import expect

from accessibility import violations
from test_dashboard import CUT, is_live, is_lost, watcher, waits_long  # noqa: F401
from test_figures import API, FINE, WIDE, board, business, stage  # noqa: F401

HEADER_MAX_PX = 96
PHONE = {"width": 390, "height": 844}
# Words of which a part stands in another line.
BROKEN_WORDS = """() => {
  const broken = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.parentElement.checkVisibility() || text.parentElement.closest('svg, option')) continue;
    for (const match of text.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
      const range = document.createRange();
      range.setStart(text, match.index);
      range.setEnd(text, match.index + match[0].length);
      const lines = new Set([...range.getClientRects()].map(({ bottom }) => Math.round(bottom)));
      if (lines.size > 1) broken.push(match[0]);
    }
  }
  return broken;
}"""


def everything(stage):
    stage.tell("system_metrics", **{**FINE, "cpu": 75, "disk": 95})
    stage.tell("api_metrics", **{**API, "refused": 2, "store_up": False, "store_queue": 1, "store_commit_ms": 1, "engine_up": True})
    business(stage, visitors=10, revenue=1, orders=2, simulated=["revenue"])


# A phone


@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
@pytest.mark.parametrize("width", [320, 390])
def test_the_header_leaves_a_phone_to_the_figures(watcher, server, locale, width):
    one = watcher(locale=locale, viewport={**PHONE, "width": width}, has_touch=True, is_mobile=True, before=waits_long).expects(*CUT)
    is_live(one)

    def is_small():
        box = one.find("header").bounding_box()
        assert box["height"] <= HEADER_MAX_PX
        for control in ("#channel", ".to-chat", "#windows label:last-child"):
            inner = one.find(control).bounding_box()
            assert inner["height"] >= 44, control
            assert inner["x"] >= 0 and inner["x"] + inner["width"] <= width, control
            assert inner["y"] >= box["y"] and inner["y"] + inner["height"] <= box["y"] + box["height"], control
        assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    is_small()
    server.kill()
    is_lost(one)
    is_small()


@pytest.mark.parametrize("width", [320, 390, 820, 1280])
def test_english_words_are_not_broken(board, stage, width):  # noqa: F811
    everything(stage)
    one = board(viewport={"width": width, "height": 844})
    expect(one.find("#verdict")).to_have_text(re.compile("problems"))
    one.find("#numbers summary").click()
    one.settles()
    assert one.page.evaluate(BROKEN_WORDS) == []


# Names


@pytest.mark.parametrize("locale, name", [("ko-KR", "채팅"), ("en-US", "Chat")])
def test_the_link_to_the_chat_is_named_as_it_reads(watcher, locale, name):
    one = watcher(locale=locale)
    expect(one.find(".to-chat")).to_have_accessible_name(name)
    expect(one.find(".to-chat")).to_have_text(name)


# Paper


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["desktop", "phone"])
def test_print_shows_every_chart_in_light_colours(board, stage, viewport):  # noqa: F811
    everything(stage)
    everything(stage)
    one = board(color_scheme="dark", viewport=viewport)
    expect(one.find("#verdict")).to_have_text(re.compile("problems"))
    on_screen = len(one.page.pdf(format="A4"))
    one.page.emulate_media(media="print", color_scheme="dark")
    one.settles()
    for gone in ("#channel", "#windows", ".to-chat", "#preferences", "#numbers"):
        expect(one.find(gone)).to_be_hidden()
    charts = one.find("article:not([hidden]) .chart")
    boxes = charts.evaluate_all("(charts) => charts.map((chart) => chart.querySelector('.chart-grid').getBoundingClientRect()).map(({ width, height }) => [width, height])")
    assert len(boxes) == 14
    assert all(width > 100 and height > 30 for width, height in boxes)
    paper = one.page.evaluate("getComputedStyle(document.querySelector('.figure')).backgroundColor.match(/\\d+/g).map(Number)")
    ink = one.page.evaluate("getComputedStyle(document.querySelector('.figure h3')).color.match(/\\d+/g).map(Number)")
    assert min(paper) > 230 and max(ink) < 90
    assert on_screen > 20_000, "the charts are drawn on the pages"


# Magnified, and in other colours


def test_at_twice_the_size_nothing_is_cut_off(board, stage):  # noqa: F811
    everything(stage)
    one = board(viewport={"width": 640, "height": 400}, device_scale_factor=2)
    expect(one.find("#verdict")).to_have_text(re.compile("problems"))
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert one.page.evaluate(BROKEN_WORDS) == []
    assert violations(one) == []


def test_in_forced_colours_lines_and_levels_are_seen(board, stage):  # noqa: F811
    everything(stage)
    one = board(forced_colors="active", color_scheme="dark")
    expect(one.find("#verdict")).to_have_text(re.compile("problems"))
    colours = one.page.evaluate(
        """() => {
          const of = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
          return { line: of('#machine .chart .chart-line', 'stroke'), sheet: of('#machine', 'backgroundColor'), verdict: of('#verdict', 'color'), ink: of('h1', 'color') };
        }"""
    )
    assert colours["line"] != colours["sheet"]
    assert colours["verdict"] == colours["ink"]
    assert violations(one) == []


def test_axe_finds_nothing_while_the_connection_is_lost(board, stage):  # noqa: F811
    everything(stage)
    one = board(before=waits_long).expects("ERR_", "Failed to load resource")
    expect(one.find("#verdict")).to_have_text(re.compile("problems"))
    stage.close()
    is_lost(one)
    assert violations(one) == []


# As one likes it


def test_theme_and_language_are_chosen_on_the_dashboard_too(watcher):
    one = watcher(locale="ko-KR", color_scheme="light")
    is_live(one)
    one.find("#theme").select_option("dark")
    expect(one.find("html")).to_have_attribute("data-theme", "dark")
    one.find("#language").select_option("en")
    expect(one.find("h1")).to_have_text("Dashboard")
    expect(one.find("#language")).to_have_value("en")
    expect(one.find("#theme")).to_have_value("dark")
    expect(one.find("#theme")).to_have_accessible_name("Theme")


def test_another_tab_follows_the_choice(watcher):
    one = watcher(color_scheme="light")
    is_live(one)
    other = one.page.context.new_page()
    other.goto(one.url)
    other.locator("#theme").select_option("dark")
    expect(one.find("html")).to_have_attribute("data-theme", "dark")
    expect(one.find("#theme")).to_have_value("dark")


def test_who_speaks_neither_language_gets_english(watcher):
    expect(watcher(locale="ja-JP").find("h1")).to_have_text("Dashboard")
