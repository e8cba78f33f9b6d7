"""Where one is on the chat page, and what stays when one goes elsewhere: rooms, addresses, tabs, phones."""

import pytest
from playwright.sync_api import expect

from test_chat import DESKTOP, PHONE

TOUCH = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}

# Phones

# A keyboard that is laid over the page, as Safari does it: the page keeps its size, and sees less of itself.
KEYBOARD = """(height) => {
  Object.defineProperty(visualViewport, 'height', { configurable: true, get: () => innerHeight - height });
  visualViewport.dispatchEvent(new Event('resize'));
}"""

# Words of the page (not what people typed) that stand on more than one line.
BROKEN_WORDS = """() => {
  const broken = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest('bdi, .bubble, script, svg, .unseen, select')) continue;
    for (const { 0: word, index } of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
      const range = new Range();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const lines = new Set([...range.getClientRects()].filter(({ width }) => width > 1).map(({ top }) => Math.round(top)));
      if (lines.size > 1) broken.push(word);
    }
  }
  return broken;
}"""


def box(locator):
    box = locator.bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def on_phone(visitor, room="찻집", **options):
    one = visitor(**TOUCH, **options)
    one.page.goto(f"{one.url}/?room={room}")
    one.find("#name").fill("전화기")
    one.find("#enter").tap()
    one.is_in(room)
    return one


@pytest.mark.parametrize("locale", ["ko-KR", "en-GB"])
@pytest.mark.parametrize("opener, title", [("#open-rooms", "#drawer .brand-link"), ("#open-people", "#people-title")])
def test_the_button_that_closes_the_drawer_lies_over_nothing(visitor, locale, opener, title):
    one = on_phone(visitor, locale=locale)
    one.find(opener).tap()
    left, _, right, _ = box(one.find("#drawer-close"))
    other_left, _, other_right, _ = box(one.find(title))
    assert right <= other_left or other_right <= left


def test_enter_breaks_the_line_on_a_touch_screen_and_the_button_sends(visitor):
    one = on_phone(visitor)
    text = one.find("#text")
    expect(text).to_have_js_property("enterKeyHint", "enter")
    text.press_sequentially("첫 줄")
    text.press("Enter")
    text.press_sequentially("둘째 줄")
    expect(text).to_have_value("첫 줄\n둘째 줄")
    expect(one.find(".bubble")).to_have_count(0)
    one.find("#send").tap()
    one.sees_in_order(["첫 줄\n둘째 줄"])
    text.fill("자판으로")
    text.press("Control+Enter")
    one.sees("자판으로")


@pytest.mark.parametrize("options", [TOUCH, {"viewport": DESKTOP}], ids=["phone", "desktop"])
def test_the_field_to_write_in_is_as_high_as_its_text_up_to_a_limit(visitor, options):
    one = visitor(**options)
    # As in a browser that does not know `field-sizing`.
    one.page.route("**/chat*.css", lambda route: route.fulfill(response=(answer := route.fetch()), body=answer.text().replace("field-sizing", "x")))
    one.enter("한사람")
    one.page.goto(f"{one.url}/?room=찻집")
    one.is_in("찻집")
    text = one.find("#text")

    def heights():
        return text.evaluate("(e) => [e.clientHeight, e.scrollHeight, getComputedStyle(e).overflowY]")

    empty, _, overflow = heights()
    assert overflow == "hidden", "an empty field has no scroll bar"
    text.fill("한 줄")
    assert heights()[0] == empty
    text.fill("한 줄\n두 줄\n세 줄")
    height, inner, overflow = heights()
    assert height > 1.8 * empty and inner <= height + 1 and overflow == "hidden"
    text.fill("가나다라마바사 " * 200)
    height, inner, overflow = heights()
    assert inner > height and overflow == "auto"
    assert height <= options["viewport"]["height"] * 0.35 + 1
    one.page.set_viewport_size({"width": 320, "height": 844})
    text.fill("첫 글")
    one.find("#composer").evaluate("(form) => form.requestSubmit()")
    one.sees("첫 글")
    assert heights()[0] == empty


def test_a_long_message_uses_the_width_of_a_phone(visitor):
    one, other = on_phone(visitor), visitor().enter("친구", "찻집")
    words = "낱말이 아주 많은 긴 글입니다 " * 6
    other.say(words + "남의 글")
    one.find("#text").fill(words + "나의 글")
    one.find("#send").tap()
    for text in ("남의 글", "나의 글"):
        one.sees(text)
        left, _, right, _ = box(one.message(text))
        assert right - left > 0.8 * PHONE["width"]


def test_the_field_to_write_in_stays_above_a_keyboard_and_the_newest_message_too(visitor):
    one = on_phone(visitor)
    for n in range(12):
        one.find("#text").fill(f"글 {n}." + "\n둘째 줄")
        one.find("#send").tap()
        one.sees(f"글 {n}.")
    newest = one.message("글 11.")
    one.page.evaluate(KEYBOARD, 340)
    expect(one.find("#house")).to_have_css("height", f"{PHONE['height'] - 340}px")
    one.settles()
    assert box(one.find("#composer"))[3] <= PHONE["height"] - 340
    assert box(newest)[3] <= box(one.find("#composer"))[1]
    one.page.evaluate(KEYBOARD, 0)
    expect(one.find("#house")).to_have_css("height", f"{PHONE['height']}px")
    expect(newest).to_be_in_viewport()


@pytest.mark.parametrize("width", [320, 390])
def test_no_english_word_is_broken_in_two(visitor, width):
    one = visitor(viewport={"width": width, "height": 844}, locale="en-GB")
    one.page.goto(one.url)
    expect(one.find("#enter")).to_be_visible()
    assert one.page.evaluate(BROKEN_WORDS) == []
    one.find("#other-way-button").click()
    assert one.page.evaluate(BROKEN_WORDS) == []
    one.find("#other-way-button").click()
    one.find("#name").fill("someone")
    one.find("#enter").click()
    one.is_connected()
    assert one.page.evaluate(BROKEN_WORDS) == []
    one.find("#open-rooms").click()
    assert one.page.evaluate(BROKEN_WORDS) == []
    one.find("#create-room").click()
    one.find("#room-limit").fill("0")
    one.find("#room-name").fill("tea")
    one.find("#create-form [type=submit]").click()
    expect(one.find("#create-error")).not_to_be_empty()
    assert one.page.evaluate(BROKEN_WORDS) == []
