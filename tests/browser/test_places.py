"""Where one is on the chat page, and what stays when one goes elsewhere: rooms, addresses, tabs, phones."""

import json
import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

from conftest import Visitor
from test_chat import DESKTOP, PHONE, WRITE_MANY
from test_sign_in import frames_of

TOUCH = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}

HOUSE = "'/static/house.js'"


def room(name):
    return re.compile(rf"\?room={quote(name)}$")


# In a task of its own: the page that is left could not answer.


def goes_back(one):
    one.page.evaluate("void setTimeout(() => history.back())")


def goes_forward(one):
    one.page.evaluate("void setTimeout(() => history.forward())")


# Addresses


def test_each_room_has_an_address_that_a_reload_leads_back_to(visitor):
    one = visitor().enter("한사람", "하나")
    expect(one.page).to_have_url(room("하나"))
    one.create_or_join("둘 & 반")
    one.page.wait_for_url(lambda url: parse_qs(urlsplit(url).query) == {"room": ["둘 & 반"]})
    expect(one.page).to_have_title("둘 & 반 · 사랑방")
    one.open("하나")
    one.page.reload()
    one.is_in("하나")
    expect(one.page).to_have_title("하나 · 사랑방")
    expect(one.find("#joined li")).to_have_count(2)


def test_the_room_of_an_address_wins_over_the_one_of_before(visitor, server):
    one = visitor().enter("한사람", "하나")
    one.create_or_join("둘")
    one.page.goto(f"{server.url}/?room=하나")
    one.is_in("하나")
    one.page.goto(f"{server.url}/?room=셋")
    one.is_in("셋")
    expect(one.find("#joined li")).to_have_count(3)


@pytest.mark.parametrize("name", ["가" * 65, "%00", "%20"], ids=["too long", "a character that is none", "blank"])
def test_an_address_of_a_room_that_cannot_be_leads_to_the_other_rooms(visitor, server, name):
    one = visitor(viewport=DESKTOP).enter("한사람", "하나")
    one.page.goto(f"{server.url}/?room={name}")
    expect(one.find("#blank-title")).to_have_text("이런 이름의 방은 있을 수 없습니다")
    expect(one.find("#blank-text")).to_contain_text("1–64자")
    expect(one.find("#blank-actions button")).to_have_text(["방 둘러보기"])
    one.find("#blank-actions button").click()
    one.is_in("하나")
    expect(one.page).to_have_url(room("하나"))
    expect(one.find("#joined li")).to_have_count(1)


def test_on_a_phone_the_way_from_a_room_that_cannot_be_leads_to_the_list_of_rooms(visitor):
    visitor().enter("친구", "마루")
    one = visitor(**TOUCH)
    one.page.goto(f"{one.url}/?room={'가' * 65}")
    one.find("#name").fill("손님")
    one.find("#enter").tap()
    one.find("#blank-actions button").tap()
    one.find("#drawer #others button").tap()
    one.is_in("마루")
    expect(one.find("#joined li")).to_have_count(1)


def test_back_goes_to_the_room_before_and_from_the_first_one_out(visitor):
    one = visitor()
    one.page.goto("about:blank")
    one.enter("한사람")
    one.create_or_join("하나")
    one.create_or_join("둘")
    one.open("하나")
    one.create_or_join("셋")
    for name in ("하나", "둘", "하나"):
        goes_back(one)
        expect(one.find("#place")).to_have_text(name)
        expect(one.page).to_have_url(room(name))
    goes_forward(one)
    expect(one.find("#place")).to_have_text("둘")
    goes_back(one)
    expect(one.find("#place")).to_have_text("하나")
    goes_back(one)  # where one chooses a room
    expect(one.find("#place")).to_have_text("사랑방")
    goes_back(one)
    expect(one.page).to_have_url("about:blank")


def test_back_does_not_lead_into_a_room_that_was_left(visitor):
    one = visitor()
    one.page.goto("about:blank")
    one.page.goto(f"{one.url}/?room=하나")
    one.find("#name").fill("한사람")
    one.find("#enter").click()
    one.is_in("하나")
    for name in ("둘", "셋"):
        one.create_or_join(name)
    one.open("둘")
    one.find("#leave").click()
    expect(one.find("#place")).to_have_text("셋")
    one.find("#leave").click()
    expect(one.find("#place")).to_have_text("하나")
    expect(one.find("#joined li")).to_have_count(1)
    goes_back(one)  # past the room that was left, to the first entry: it is this room
    one.page.wait_for_function("() => history.state.sarang.index === 0")
    expect(one.find("#place")).to_have_text("하나")
    goes_back(one)
    expect(one.page).to_have_url("about:blank")


def test_back_closes_what_lies_over_the_page_and_leaves_the_room_as_it_is(visitor):
    one = on_phone(visitor)
    before = one.page.evaluate("history.length")
    for opener, over in (("#open-rooms", "#drawer"), ("#open-people", "#drawer")):
        one.find(opener).tap()
        expect(one.find(over)).to_be_visible()
        goes_back(one)
        expect(one.find(over)).to_be_hidden()
        expect(one.find("#place")).to_have_text("찻집")
    one.find("#open-rooms").tap()
    one.find("#drawer #create-room").tap()
    goes_back(one)
    expect(one.find("#create")).to_be_hidden()
    expect(one.find("#drawer")).to_be_hidden()
    assert one.page.evaluate("history.length") <= before + 1
    expect(one.page).to_have_url(room("찻집"))
    # Closed in another way, they leave nothing behind.
    one.find("#open-rooms").tap()
    one.page.keyboard.press("Escape")
    expect(one.find("#drawer")).to_be_hidden()
    one.page.wait_for_function("() => !history.state.sarang.over")
    assert one.page.evaluate("history.state.sarang.index") == 0


def test_a_drawer_that_is_opened_while_another_one_is_being_closed_stays_open(visitor):
    one = on_phone(visitor)
    one.find("#open-people").tap()
    one.page.wait_for_function("() => history.state.sarang.over")
    # The step back to the entry without the drawer takes a while, and then is told.
    one.page.evaluate("""async () => {
      const isBack = new Promise((resolve) => addEventListener('popstate', () => setTimeout(resolve), { once: true }));
      const drawer = document.querySelector('#drawer');
      const isClosed = new Promise((resolve) => drawer.addEventListener('close', resolve, { once: true }));
      drawer.close();
      await isClosed;
      document.querySelector('#open-rooms').click();
      await isBack;
    }""")
    expect(one.find("#drawer")).to_be_visible()
    goes_back(one)
    expect(one.find("#drawer")).to_be_hidden()
    expect(one.find("#place")).to_have_text("찻집")


def test_a_room_that_was_chosen_in_the_drawer_is_one_step_away_from_the_one_before(visitor):
    visitor().enter("친구", "마루")
    one = on_phone(visitor)
    one.find("#open-rooms").tap()
    one.find("#drawer #others button").tap()
    one.is_in("마루")
    assert one.page.evaluate("history.state.sarang.index") == 1
    goes_back(one)
    expect(one.find("#place")).to_have_text("찻집")
    expect(one.find("#drawer")).to_be_hidden()


def test_signing_out_takes_the_room_out_of_the_address(visitor):
    one = visitor().enter("한사람", "하나")
    one.find("#sign-out").click()
    expect(one.find("#name")).to_be_visible()
    expect(one.find("#entry-room")).to_be_hidden()
    expect(one.page).to_have_url(f"{one.url}/")


def test_a_link_to_a_message_leads_there_once(visitor):
    one, writer = visitor(viewport=DESKTOP).with_modules().enter("독자", "긴 방"), visitor().enter("작가")
    writer.page.evaluate(WRITE_MANY, ["긴 방", 0, 45])
    one.sees("글 44.")
    position = one.page.evaluate(f"import({HOUSE}).then(({{ house }}) => house.active.items.find(({{ content }}) => content === '글 3.').position)")
    other = visitor(f"{one.url}/?room={quote('긴 방')}&at={quote(position)}", viewport=DESKTOP).enter("손님")
    other.sees("글 44.")
    expect(other.message("글 3.")).to_be_in_viewport()
    expect(other.message("글 44.")).not_to_be_in_viewport()
    expect(other.page).to_have_url(re.compile(r"\?room=[^&]+$"))


# Newcomers


@pytest.mark.parametrize("server_options", [("--lobby", "사랑방")])
def test_a_newcomer_talks_after_entering_a_name(visitor):
    host, one = visitor().enter("주인"), visitor()
    host.is_in("사랑방")
    one.page.goto(one.url)
    one.find("#name").fill("새 손님")
    one.page.keyboard.press("Enter")
    one.is_in("사랑방")
    expect(one.page).to_have_title("사랑방")
    expect(one.find("#text")).to_be_focused()
    one.page.keyboard.type("안녕하세요")
    one.page.keyboard.press("Enter")
    host.sees("안녕하세요")


@pytest.mark.parametrize("server_options", [("--lobby", "사랑방")])
def test_the_room_of_an_address_wins_over_the_lobby_and_whoever_left_the_lobby_is_not_led_there_again(visitor, server):
    one = visitor(f"{server.url}/?room=기술").enter("한사람")
    one.is_in("기술")
    expect(one.find("#joined li")).to_have_count(1)
    other = visitor().enter("딴사람")
    other.is_in("사랑방")
    other.find("#leave").click()
    expect(other.find("#blank")).to_contain_text("들어가 이야기 나눌 방을 골라 주세요")
    other.page.reload()
    other.is_connected()
    expect(other.find("#others button")).to_have_count(2)
    expect(other.find("#joined li")).to_have_count(0)


def test_rooms_that_others_make_and_the_people_in_them_are_listed_at_once(visitor):
    one = visitor()
    frames = frames_of(one)
    one.enter("한사람")
    expect(one.find("#no-others")).to_contain_text("새 방을 만들면")
    host = visitor().enter("주인", "새 방")
    expect(one.find("#others button")).to_contain_text("1 / 100명")
    visitor().enter("손님", "새 방")
    expect(one.find("#others button")).to_contain_text("2 / 100명")
    host.find("#leave").click()
    expect(one.find("#others button")).to_contain_text("1 / 100명")
    assert [message["type"] for who, message in frames if who == "page"] == ["room_list"]


# What stays


def test_whispers_drafts_and_unread_marks_survive_a_visit_to_the_dashboard_and_a_reload(visitor):
    one, friend, stranger = visitor().enter("한사람", "하나"), visitor().enter("친구", "하나"), visitor().enter("남", "하나")
    one.whisper_to("친구")
    one.say("우리끼리")
    friend.open("한사람")
    friend.say("좋아요")
    one.sees("좋아요")
    one.find("#text").fill("귓속말을 쓰는 중")
    one.open("하나")
    one.find("#text").fill("방에 쓰는 중")
    stranger.whisper_to("한사람")
    stranger.say("여보세요")
    expect(one.find("#whispers .badge:visible")).to_contain_text("1")

    def is_as_before():
        one.is_in("하나")
        expect(one.find("#text")).to_have_value("방에 쓰는 중")
        expect(one.find("#whispers li")).to_have_count(2)
        expect(one.find("#whispers .badge:visible")).to_contain_text("1")
        one.open("친구")
        one.sees_in_order(["우리끼리", "좋아요"])
        expect(one.find("#text")).to_have_value("귓속말을 쓰는 중")
        one.open("하나")

    is_as_before()
    one.page.reload()
    is_as_before()
    one.find(".brand-link").click()
    expect(one.page).to_have_url(re.compile("/dashboard$"))
    goes_back(one)
    is_as_before()
    one.find(".brand-link").click()
    expect(one.page).to_have_url(re.compile("/dashboard$"))
    one.page.goto(one.url)
    is_as_before()


def test_a_whisper_that_is_read_is_there_after_a_reload_and_its_name_is_in_no_address(visitor):
    one = visitor().enter("한사람", "하나")
    visitor().enter("친구", "하나")
    one.whisper_to("친구")
    one.say("우리끼리")
    expect(one.page).to_have_url(f"{one.url}/")
    one.page.reload()
    expect(one.find("#place")).to_have_text("친구")
    one.sees("우리끼리")
    goes_back(one)
    expect(one.find("#place")).to_have_text("하나")


def reading_above(visitor):
    """Somebody who has scrolled up in a long room, and somebody else who writes there."""
    one, writer = visitor(viewport=DESKTOP).enter("독자", "긴 방"), visitor().enter("작가")
    writer.page.evaluate(WRITE_MANY, ["긴 방", 0, 60])
    one.sees("글 59.")
    # A wheel would turn on for a while: where one reads is certain when it has come to rest.
    one.find(".log").evaluate("(log) => { log.addEventListener('scrollend', () => { window.isAtRest = true; }); log.scrollBy(0, -800); }")
    one.page.wait_for_function("() => window.isAtRest")
    expect(one.find("#newer")).to_be_visible()
    return one, writer


def test_one_goes_on_reading_where_one_was(visitor):
    one, _ = reading_above(visitor)
    one.settles()
    top = "() => { const log = document.querySelector('.log'); const { top } = log.getBoundingClientRect();" \
          " const line = [...log.querySelectorAll('.message')].find((each) => each.getBoundingClientRect().bottom > top);" \
          " return [line.querySelector('.bubble').textContent, Math.round(line.getBoundingClientRect().top - top)]; }"
    before = one.page.evaluate(top)
    assert before[0] != "글 59."
    one.create_or_join("다른 방")
    one.open("긴 방")
    one.settles()
    assert one.page.evaluate(top) == before
    one.page.reload()
    one.sees("글 59.")
    expect(one.find("#newer")).to_be_visible()
    one.settles()
    assert one.page.evaluate(top) == before


def test_what_was_unread_below_is_still_offered_to_whoever_comes_back_to_their_place(visitor):
    one, writer = reading_above(visitor)
    writer.page.evaluate(WRITE_MANY, ["긴 방", 60, 65])
    expect(one.find("#newer")).to_contain_text("새 메시지 5개")
    one.create_or_join("다른 방")
    one.open("긴 방")
    expect(one.find("#newer")).to_contain_text("새 메시지 5개")


@pytest.mark.parametrize("more, since", [(5, 2), (5, 0), (70, 2)], ids=["some", "nothing since", "more than are told again"])
def test_whoever_reloads_while_reading_above_is_still_offered_what_is_unread_below(visitor, more, since):
    one, writer = reading_above(visitor)
    writer.page.evaluate(WRITE_MANY, ["긴 방", 60, 60 + more])
    expect(one.find("#newer")).to_contain_text(f"새 메시지 {more}개")
    one.find(".brand-link").click()
    expect(one.page).to_have_url(re.compile("/dashboard$"))
    if since:
        writer.page.evaluate(WRITE_MANY, ["긴 방", 60 + more, 60 + more + since])
    one.page.go_back()
    for _ in range(2):
        one.is_in("긴 방")
        expect(one.find("#newer")).to_contain_text(f"새 메시지 {more + since}개")
        expect(one.page).to_have_title(f"({more + since}) 긴 방 · 사랑방")
        one.page.reload()
    one.find("#newer").click()
    expect(one.page).to_have_title("긴 방 · 사랑방")
    one.page.reload()
    one.sees(f"글 {59 + more + since}.")
    expect(one.page).to_have_title("긴 방 · 사랑방")


def test_what_is_unread_in_other_rooms_survives_a_reload_and_is_counted_once(visitor):
    one, friend = visitor(viewport=DESKTOP).enter("한사람", "하나"), visitor().enter("친구", "하나")
    friend.say("읽은 글")
    one.sees("읽은 글")
    one.create_or_join("둘")
    friend.say("첫째")
    friend.say("@한사람 둘째")
    unread, mentions = one.find("#joined .badge.unread:visible"), one.find("#joined .badge.mentions:visible")
    def is_unread(number):
        one.is_in("둘")
        expect(unread).to_contain_text(f"읽지 않은 메시지 {number}개")
        expect(mentions).to_contain_text("나를 부른 메시지 1개")

    for _ in range(2):
        is_unread(2)
        one.page.reload()
    is_unread(2)
    one.find(".brand-link").click()
    expect(one.page).to_have_url(re.compile("/dashboard$"))
    friend.say("셋째")
    one.page.go_back()
    is_unread(3)
    one.open("하나")
    expect(one.find(".unread-mark + .message")).to_contain_text("첫째")
    expect(unread).to_have_count(0)


@pytest.mark.parametrize("stored", ["5", '{"a":1}', '[null,[1,2]]', '{"name":5,"rooms":3,"account":false}',
                                    '{"name":"한사람","account":false,"rooms":[5,null,{},"하나"],"whispers":[null],"messages":3,"drafts":[1],"places":{}}'])
def test_what_makes_no_sense_in_the_storage_keeps_nobody_out(visitor, server, stored):
    one = visitor()
    one.page.add_init_script("if (!name) { name = 'seen'; for (const key of ['sarang.keys', 'sarang.name', 'sarang.session', 'sarang.kept'])"
                             f" for (const storage of [localStorage, sessionStorage]) storage.setItem(key, {json.dumps(stored)}); }}")
    one.page.goto(f"{server.url}/?room=하나")
    # Whoever was inside before the reload is so again, everybody else is asked.
    expect(one.find("#name:visible, #composer:visible")).to_be_visible()
    if one.find("#name").is_visible():
        one.find("#name").fill("한사람")
        one.find("#enter").click()
    one.is_in("하나")
    one.say("안에 있습니다")


def test_what_is_kept_is_bounded_and_the_newest(visitor):
    one, friend = visitor().enter("한사람", "하나"), visitor().with_modules().enter("친구", "하나")
    friend.whisper_to("한사람")
    friend.page.evaluate("async () => { const { house } = await import(" + HOUSE + """);
      for (let n = 0; n < 400; n += 1) house.hear(house.active, { from: '친구', guest: false, mine: false, content: `${n} ${'가'.repeat(4000)}`, at: new Date(n) }, true);
    }""")
    friend.page.reload()
    expect(friend.find("#place")).to_have_text("한사람")
    expect(friend.find(".bubble").last).to_contain_text("399 ")
    assert 50 < friend.find(".messages > .message").count() < 200
    assert friend.page.evaluate("sessionStorage.getItem('sarang.kept').length") < 600_000


def test_signing_out_deletes_what_was_kept(visitor):
    one, friend = visitor().enter("한사람", "하나"), visitor().enter("친구", "하나")
    friend.whisper_to("한사람")
    friend.say("비밀입니다")
    one.open("친구")
    one.sees("비밀입니다")
    one.find("#text").fill("쓰던 글")
    one.page.reload()
    one.sees("비밀입니다")
    one.find("#sign-out").click()
    expect(one.find("#name")).to_be_visible()
    one.page.reload()
    expect(one.find("#name")).to_be_visible()
    stored = one.page.evaluate("JSON.stringify({ ...sessionStorage, ...localStorage })")
    assert "비밀입니다" not in stored and "쓰던 글" not in stored and "친구" not in stored
    one.find("#enter").click()
    one.is_connected()
    expect(one.find("#whispers li")).to_have_count(0)


# Tabs


def test_what_is_read_in_one_tab_is_read_in_the_others(visitor):
    one, writer = visitor().enter("독자", "하나"), visitor().enter("작가", "하나")
    one.create_or_join("둘")
    tab = Visitor(one.page.context.new_page(), one.url)
    tab.enter("독자", "하나")
    tab.create_or_join("둘")
    writer.say("첫째 글")
    writer.whisper_to("독자")
    writer.say("귓속말")
    for page in (one, tab):
        expect(page.find("#joined .badge:visible")).to_contain_text("1")
        expect(page.find("#whispers .badge:visible")).to_contain_text("1")
        expect(page.page).to_have_title(re.compile(r"^\(2\) "))
    one.page.bring_to_front()
    one.open("하나")
    expect(tab.find("#joined .badge:visible")).to_have_count(0)
    expect(tab.page).to_have_title(re.compile(r"^\(1\) "))
    one.open("작가")
    expect(tab.find("#whispers .badge:visible")).to_have_count(0)
    expect(tab.page).not_to_have_title(re.compile(r"^\("))
    # Read as they come in one tab, they are not unread in the other.
    writer.say("또 하나")
    one.sees("또 하나")
    expect(tab.find("#whispers .badge:visible")).to_have_count(0)
    assert tab.unexpected_problems() == []


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
    return visitor(**TOUCH, **options).enter_by_touch("전화기", room)


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


@pytest.mark.parametrize("width", [360, 390])
def test_the_header_of_a_room_keeps_its_height_when_many_are_in_it(visitor, width):
    one = visitor(locale="en-US", **{**TOUCH, "viewport": {"width": width, "height": 700}}).with_modules().enter_by_touch("reader", "tea")
    one.page.evaluate(f"import({HOUSE}).then(({{ house }}) => {{ house.active.present = 12345; house.changed(); }})")
    expect(one.find("#seats")).to_contain_text("12,345")
    assert one.page.evaluate("document.querySelector('.bar-line').offsetHeight === document.querySelector('#seats').offsetHeight")


def test_a_name_that_is_written_from_the_right_stands_beside_its_seal(visitor):
    visitor().enter("שלום", "하나")
    one = visitor(viewport=DESKTOP).enter("한사람", "하나")
    name = one.find("#persons .person bdi", has_text="שלום")
    expect(name).to_be_visible()
    assert name.evaluate("(bdi) => { const text = document.createRange(); text.selectNodeContents(bdi);"
                         " return Math.round(text.getBoundingClientRect().left - bdi.getBoundingClientRect().left); }") == 0


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


@pytest.mark.parametrize("options", [TOUCH, {"viewport": PHONE}], ids=["phone", "narrow window"])
def test_what_a_person_says_stands_together_on_a_phone_however_long_it_is(visitor, options):
    other = visitor().enter("친구", "찻집")
    one = visitor(**options).enter("전화기")
    one.page.goto(f"{one.url}/?room=찻집")
    one.is_in("찻집")
    other.say("낱말이 아주 많은 긴 글입니다 " * 6)
    other.say("짧은 글")
    one.sees("짧은 글")
    upper, lower = box(one.find(".bubble").first), box(one.find(".bubble").last)
    assert 0 < lower[1] - upper[3] < 10
    # Nor is the button of its menu below a message whose time fits beside it.
    other.say("이 글은 조금 더 깁니다" * 2)
    one.sees("조금 더")
    line, bubble = box(one.find(".line").last), box(one.find(".bubble").last)
    assert line[3] - bubble[3] < 30


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
