"""The log of the chat page: what nobody's message, coming or going can do to it, what was said earlier, links to messages."""

import json
import re
import time
from urllib.parse import quote

import pytest
import websockets.sync.client
from playwright.sync_api import expect

from conftest import WAIT_MS

# What older browsers lack, or what fails in them.
LACKING = {
    "no Segmenter": "delete Intl.Segmenter",
    "a Segmenter that throws": "Intl.Segmenter = class { segment() { throw new Error('broken') } }",
    "no canParse": "delete URL.canParse",
}


@pytest.mark.parametrize("script", LACKING.values(), ids=LACKING.keys())
def test_a_browser_that_lacks_a_function_shows_every_message(visitor, script):
    one, friend = visitor(), visitor().enter("친구", "마당")
    one.page.add_init_script(script)
    one.enter("🇰🇷 나", "마당")
    expect(one.find("#my-seal")).to_have_text("🇰🇷")
    said = ["하나", "https://example.org/ 와 http://[ 를 보세요", "셋"]
    for text in said:
        friend.say(text)
    one.sees_in_order(said)
    expect(one.find(".message .seal")).to_have_text("친")
    expect(one.find(".bubble a")).to_have_attribute("href", "https://example.org/")


def test_a_message_that_cannot_be_shown_does_not_stop_the_others(visitor):
    one, friend = visitor().expects("no time"), visitor().enter("친구", "마당")
    # A function fails at one message, as a fault of the page or of the browser would let it.
    one.page.add_init_script("""
        const { toISOString } = Date.prototype;
        Date.prototype.toISOString = function () { if (window.broken) throw new Error('no time'); return toISOString.call(this); };
    """)
    one.enter("나", "마당")
    friend.say("하나")
    one.sees("하나")
    one.page.evaluate("window.broken = true")
    friend.say("둘 <b>굵게</b>")
    one.sees("둘 <b>굵게</b>")
    one.page.evaluate("window.broken = false")
    friend.say("셋")
    one.sees_in_order(["하나", "둘 <b>굵게</b>", "셋"])
    expect(one.find(".bubble b")).to_have_count(0)


# Coming and going


class Others:
    """Clients without a browser, in one room of the server."""

    def __init__(self, server, room):
        self.server, self.room = server, room
        self.sockets = {}

    def come(self, *names):
        for name in names:
            self.sockets[name] = Socket(self.server, name)
            self.sockets[name].send(type="join", room=self.room)
            self.sockets[name].until("room_joined")

    def leave(self, *names):
        for name in names:
            self.sockets[name].send(type="leave", room=self.room)
            self.sockets[name].until("room_left")

    def back(self, *names):
        for name in names:
            self.sockets[name].send(type="join", room=self.room)
            self.sockets[name].until("room_joined")

    def say(self, name, *contents):
        """Returns the position of the last message."""
        for content in contents:
            self.sockets[name].send(type="chat", room=self.room, content=content, id=f"{time.monotonic_ns()}")
            position = self.sockets[name].until("ack")["position"]
        return position


class Socket:
    def __init__(self, server, name):
        self.socket = websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/ws?username={quote(name)}", proxy=None, legacy=True)

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def until(self, kind):
        while (message := json.loads(self.socket.recv(timeout=WAIT_MS / 1000)))["type"] != kind:
            assert message["type"] != "error", message
        return message


@pytest.fixture
def others(server):
    return Others(server, "마당")


def test_those_who_come_and_go_between_two_messages_share_a_line(visitor, others):
    one = visitor(locale="en-GB").enter("one", "마당")
    others.come("a", "b", "c")
    expect(one.find(".presence")).to_have_text("a, b, c came in")
    others.leave("a")
    expect(one.find(".presence")).to_have_text("b, c came in · a came and left again")
    others.say("b", "hello")
    others.leave("c")
    others.back("a")
    others.leave("b")
    others.back("b")
    expect(one.find(".presence").last).to_have_text("a came in · c left · b left and came back")
    others.come(*(f"d{number}" for number in range(9)))
    expect(one.find(".presence").last).to_have_text("10 came in, 1 left, 1 left and came back")
    expect(one.find(".presence")).to_have_count(2)


def test_whoever_comes_into_an_empty_room_is_not_covered_by_a_word_of_welcome(visitor, others):
    one = visitor().enter("하나", "마당")
    expect(one.find("#blank")).to_contain_text("아직 조용합니다")
    others.come("영희")
    expect(one.find(".presence")).to_have_text("영희님이 들어왔습니다")
    expect(one.find("#blank")).to_be_hidden()


# Comes and goes as fast as it is let, so often, from several connections at once.
STORM = """async ([room, connections, times]) => {
  await Promise.all(Array.from({ length: connections }, (_, n) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/ws?username=storm-${n}`);
    let left = times;
    const join = () => socket.send(JSON.stringify({ type: 'join', room }));
    socket.onmessage = ({ data }) => {
      const { type, code } = JSON.parse(data);
      if (type === 'welcome') join();
      else if (type === 'room_joined') socket.send(JSON.stringify({ type: 'leave', room }));
      else if (type === 'room_left' && (left -= 1)) join();
      else if (type === 'room_left') { socket.close(); resolve(); }
      else if (type === 'error') setTimeout(join, 200);
    };
    socket.onerror = reject;
  })));
}"""


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_a_storm_of_comings_and_goings_leaves_every_message(visitor, others):
    one, nuisance = visitor().enter("하나", "마당"), visitor().enter("멀리")
    others.come("영희")
    said = [f"글 {number}" for number in range(30)]
    others.say("영희", *said)
    one.sees("글 29")
    nuisance.page.evaluate(STORM, ["마당", 9, 100])
    others.say("영희", "지나갔다")
    one.sees_in_order([re.compile(f"^{text}$") for text in [*said, "지나갔다"]])
    expect(one.find(".presence")).to_have_count(2)
    expect(one.find(".presence").last).to_have_text("9명 다녀감")


# Long messages


def lines_shown(one, bubble):
    return bubble.evaluate("(e) => Math.round((e.clientHeight - 16) / parseFloat(getComputedStyle(e).lineHeight))")


def test_a_long_message_is_shown_in_part_until_all_of_it_is_wanted(visitor, others):
    one = visitor().enter("하나", "마당")
    others.come("영희")
    others.say("영희", "처음" + "\n" * 4000 + "끝", "낱말 " * 900, "짧은 글", "조금 긴 글 " * 30)
    one.sees("조금 긴 글")
    buttons = one.find(".show-all:visible")
    expect(buttons).to_have_count(2)
    bubbles = one.find(".clipped .bubble")
    for index in range(2):
        assert lines_shown(one, bubbles.nth(index)) == 14
    buttons.first.focus()
    expect(buttons.first).to_have_attribute("aria-expanded", "false")
    top = buttons.first.evaluate("(e) => e.closest('.message').getBoundingClientRect().top")
    one.page.keyboard.press("Enter")
    expect(buttons.first).to_have_text("접기")
    expect(buttons.first).to_have_attribute("aria-expanded", "true")
    assert lines_shown(one, one.find(f"#{buttons.first.get_attribute('aria-controls')}")) >= 4000
    assert buttons.first.evaluate("(e) => e.closest('.message').getBoundingClientRect().top") == top, "what was read has moved"
    buttons.first.scroll_into_view_if_needed()
    bottom = buttons.first.bounding_box()["y"]
    one.page.keyboard.press("Enter")
    expect(buttons.first).to_have_text("모두 보기")
    expect(buttons.first).to_be_focused()
    assert abs(buttons.first.bounding_box()["y"] - bottom) <= 1, "the end of the message was not kept where it was"


@pytest.mark.parametrize("locale, words", [("ko-KR", "(빈 메시지)"), ("en-GB", "(empty message)")])
def test_a_message_in_which_nothing_can_be_seen_is_a_small_line(visitor, others, locale, words):
    one = visitor(locale=locale).enter("하나", "마당")
    others.come("영희")
    others.say("영희", "글", "\n" * 300, " \t \u3000", "\u3164\n\u200b\n\u2800\n" * 40, "끝")
    one.sees("끝")
    expect(one.find(".message .nothing")).to_have_text([words] * 3)
    expect(one.find(".bubble")).to_have_count(2)
    expect(one.find(".message time")).to_have_count(5)
    expect(one.find(".message .by")).to_have_text(["영희"] * 5)
    for height in one.find(".message .nothing").evaluate_all("(all) => all.map((each) => each.offsetHeight)"):
        assert height <= one.message("끝").bounding_box()["height"]


def test_blank_lines_around_a_message_take_no_room_and_its_first_spaces_stay(visitor, others):
    one = visitor().enter("하나", "마당")
    others.come("영희")
    others.say("영희", "\n\n \n\u3164\n안녕\n\n하세요\n \n\n", "\r\n\n    if x:\n        y()\n\n")
    one.sees("y()")
    assert one.find(".bubble").all_text_contents() == ["안녕\n\n하세요", "    if x:\n        y()"]


def test_a_link_in_the_part_that_is_not_shown_is_shown_when_it_gets_the_focus(visitor, others):
    one = visitor().enter("하나", "마당")
    others.come("영희")
    others.say("영희", "보세요" + "\n" * 50 + "https://example.org/")
    one.sees("example.org")
    expect(one.find(".show-all")).to_be_visible()
    one.find(".bubble a").focus()
    expect(one.find(".show-all")).to_have_attribute("aria-expanded", "true")
    expect(one.find(".bubble a")).to_be_in_viewport(ratio=1)


def test_towers_of_combining_characters_stay_in_their_message(visitor, others):
    one = visitor().enter("하나", "마당")
    others.come("영희")
    others.say("영희", "위", "a" + "\u0300\u0316" * 500, "아래")
    one.sees("아래")
    for bubble in one.find(".bubble").all():
        assert bubble.evaluate("(e) => getComputedStyle(e).overflowY") in ("clip", "hidden")


# Earlier messages


PLACE = "(e) => e.getBoundingClientRect().top - document.querySelector('.log').getBoundingClientRect().top"


def place_of(one, text):
    return one.message(text).evaluate(PLACE)


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_scrolling_up_shows_earlier_messages_up_to_the_beginning(visitor, others):
    others.come("영희")
    said = [f"글 {number}." for number in range(1, 131)]
    others.say("영희", *said)
    one = visitor().enter("하나")
    one.find("#others button", has_text="마당").click()
    one.sees("글 130.")
    expect(one.find(".bubble")).to_have_count(50)
    expect(one.find(".earlier button")).to_have_text("이전 메시지 보기")
    before = one.message("글 90.").evaluate(f"(e) => {{ document.querySelector('.log').scrollTop = 400; return ({PLACE})(e); }}")
    expect(one.find(".bubble")).to_have_count(100)
    assert abs(place_of(one, "글 90.") - before) < 1, "what was read has moved"
    one.page.evaluate("document.querySelector('.log').scrollTop = 0")
    one.sees_in_order(said)
    expect(one.find(".earlier")).to_have_text("여기가 대화의 처음입니다")
    expect(one.find(".day")).to_have_count(1)
    expect(one.find(".message.first")).to_have_count(1)
    expect(one.find("#newer")).to_be_visible()


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_earlier_messages_that_could_not_be_loaded_can_be_asked_for_again(visitor, others):
    others.come("영희")
    others.say("영희", *(f"글 {number}." for number in range(1, 71)))
    one = visitor()
    refusals = ["unavailable"]

    def stand_between(page):
        server = page.connect_to_server()

        def from_page(text):
            asked = json.loads(text)
            if asked["type"] == "history" and refusals:
                page.send(json.dumps({"type": "error", "code": refusals[0], "message": "", "id": asked["id"]}))
            else:
                server.send(text)

        page.on_message(from_page)

    one.page.route_web_socket("**/ws?*", stand_between)
    one.enter("하나")
    one.find("#others button", has_text="마당").click()
    one.sees("글 70.")
    one.find(".earlier button").click()
    expect(one.find(".earlier")).to_contain_text("이전 메시지를 불러오지 못했습니다.")
    expect(one.find(".earlier button")).to_be_focused()
    refusals.clear()
    one.page.keyboard.press("Enter")
    one.sees("글 1.")
    expect(one.find(".earlier")).to_have_text("여기가 대화의 처음입니다")
    expect(one.find(".log")).to_be_focused()


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_earlier_messages_are_let_go_at_the_end_and_ones_own_are_among_them_as_ones_own(visitor, others):
    others.come("영희")
    one = visitor().enter("하나", "마당")
    one.say("내 글")
    others.say("영희", *(f"글 {number}." for number in range(1, 561)))
    expect(one.find(".bubble")).to_have_count(500)
    expect(one.message("내 글")).to_have_count(0)
    for loaded in (550, 561):
        one.page.evaluate("document.querySelector('.log').scrollTop = 0")
        expect(one.find(".bubble")).to_have_count(loaded)
    one.sees("내 글")
    expect(one.find(".message.mine .bubble")).to_have_text("내 글")
    others.say("영희", "또")
    expect(one.find("#newer")).to_contain_text("새 메시지 1개")
    expect(one.find(".bubble")).to_have_count(562)
    one.find("#newer").click()
    expect(one.find(".bubble")).to_have_count(500)
    expect(one.message("또")).to_be_in_viewport()


# Links to messages


def link_to(one, text):
    return one.find(".message", has_text=text).locator(".time a").get_attribute("href")


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_a_link_leads_to_its_message_and_marks_it(visitor, others):
    others.come("영희")
    one = visitor().enter("하나", "마당")
    others.say("영희", "여기를 보세요")
    link = link_to(one, "여기를 보세요")
    others.say("영희", *(f"글 {number}." for number in range(1, 301)))
    two = visitor()
    two.page.goto(link)
    # The mark is there for a few seconds only.
    two.noting("#log-place", "(place) => place.querySelector('.is-target .bubble')?.textContent ?? ''")
    two.find("#name").fill("둘")
    two.find("#enter").click()
    two.is_in("마당")
    target = two.find(".message", has_text="여기를 보세요")
    expect(target).to_be_focused()
    expect(target).to_be_in_viewport(ratio=1)
    two.has_noted("#log-place", "여기를 보세요")
    expect(target).not_to_have_class(re.compile("is-target"))
    others.say("영희", "또")
    expect(two.find("#newer")).to_contain_text("새 메시지 1개")
    expect(target).to_be_in_viewport(ratio=1)


def test_a_link_to_a_message_that_is_gone_says_so(visitor, others):
    others.come("영희")
    position = others.say("영희", "하나")
    one = visitor().enter("하나", "마당")
    one.page.goto(f"{one.url}/?room=마당&at=0000000000000000:{position.split(':')[1]}")
    one.is_in("마당")
    one.was_told("남아 있지 않습니다")
    one.sees("하나")
    one.find("#notice button").focus()
    one.page.keyboard.press("Enter")
    expect(one.find("#notice")).to_be_empty()
    expect(one.find("#place")).to_be_focused()  # and not at the start of the page again


def test_the_time_of_a_message_copies_its_link(visitor, others):
    others.come("영희")
    one = visitor(permissions=["clipboard-read", "clipboard-write"]).enter("하나", "마당")
    others.say("영희", "여기를 보세요")
    link = link_to(one, "여기를 보세요")
    # Said for a moment, in place of the time.
    one.noting(".message .time")
    one.find(".time a").click()
    one.has_noted(".message .time", "링크를 복사했습니다")
    assert one.page.evaluate("navigator.clipboard.readText()") == link
    expect(one.find(".time a")).not_to_have_text("링크를 복사했습니다")
    one.noting(".message .time")
    one.find(".message .more").click()
    one.find("[data-action=link]").click()
    one.has_noted(".message .time", "링크를 복사했습니다")
