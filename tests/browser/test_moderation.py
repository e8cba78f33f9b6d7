"""What moderators do, as the people on the chat page see it: a back end speaks, deletes, puts out, bans and removes."""

import json
import os
import urllib.request
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import CUT, Visitor
from test_chat import DESKTOP, PHONE, fits
from test_sign_in import PASSWORD, configured, eventually, fill, frames_of, member, sign_in, sockets_of, users  # noqa: F401

KEY = "back-end-of-this-test-0123456789-abcdef"
SPAM = "광고를 올려서"


@pytest.fixture
def server_options(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"가게:{KEY}\n")
    keys.chmod(0o600)
    return ("--guests", "--api-key-file", str(keys))


class BackEnd:
    """Speaks HTTP with its key."""

    def __init__(self, server):
        self.url = server.url

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + quote(path, safe="/?=&:"), data, headers, method=method)) as response:
            return json.loads(response.read() or "null")

    def says(self, room, content):
        return self.ask("POST", f"/rooms/{room}/messages", {"content": content})["position"]

    def position_of(self, room, content):
        messages = self.ask("GET", f"/rooms/{room}/history")["messages"]
        return next(message["position"] for message in messages if message.get("content") == content)

    def deletes(self, room, content):
        self.ask("DELETE", f"/rooms/{room}/messages/{self.position_of(room, content)}")

    def bans(self, name, **how):
        """Returns when it ends."""
        self.ask("PUT", f"/users/{name}/ban", how)
        return next(ban["until"] for ban in self.ask("GET", "/bans")["bans"] if ban["username"] == name)


@pytest.fixture
def back_end(configured):  # noqa: F811
    return BackEnd(configured)


def when(one, time):
    """The time as this page writes it."""
    script = """([time, locale]) => new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short' }).format(new Date(time))"""
    return one.page.evaluate(script, [time, one.page.evaluate("navigator.language")])


def look(one, name):
    """Keeps a picture in the folder that SARANG_PICTURES names, for whoever wants to look."""
    if folder := os.environ.get("SARANG_PICTURES"):
        one.page.screenshot(path=f"{folder}/{name}-{one.page.viewport_size['width']}.png")


def told(one, selector, *parts):
    for part in parts:
        expect(one.find(selector)).to_contain_text(part)


def another_tab(one):
    tab = Visitor(one.page.context.new_page(), one.url)
    tab.page.goto(tab.url)
    return tab


def test_two_people_and_a_back_end_that_keeps_the_house(member, back_end):  # noqa: F811
    gildong, younghee = sign_in(member()), sign_in(member(), "영희")
    for page in (gildong, younghee):
        page.create_or_join("마당")
    gildong.say("안녕하세요")
    younghee.say("싸게 팝니다")
    back_end.says("마당", "어서 오세요")
    for page in (gildong, younghee):
        page.sees_in_order(["안녕하세요", "싸게 팝니다", "어서 오세요"])
    expect(gildong.find(".message", has_text="어서 오세요").locator(".by")).to_have_text("가게")

    # Gone from both pages, also its author's, and from what is read later.
    back_end.deletes("마당", "싸게 팝니다")
    for page in (gildong, younghee):
        page.sees_in_order(["안녕하세요", "어서 오세요"])
        expect(page.find(".message .deleted")).to_have_text("삭제된 메시지")
        expect(page.find("body")).not_to_contain_text("싸게 팝니다")
    gildong.page.reload()
    gildong.is_in("마당")
    gildong.sees_in_order(["안녕하세요", "어서 오세요"])
    expect(gildong.find(".messages > .message").nth(1)).to_have_text("삭제된 메시지")

    # Out of one room, for a reason; the other one goes on.
    younghee.create_or_join("사랑")
    back_end.ask("DELETE", f"/users/영희/connections?room=마당&reason={SPAM}")
    younghee.open("마당")
    told(younghee, "#out", "관리자가 이 방에서 내보냈습니다", SPAM)
    expect(younghee.find("#composer")).to_be_hidden()
    expect(gildong.find("#persons")).not_to_contain_text("영희")
    younghee.open("사랑")
    younghee.say("여기는 됩니다")
    younghee.page.reload()
    younghee.is_in("사랑")
    expect(younghee.find("#joined li")).to_have_count(1)  # a reload is no way back in

    # Out of the house: told why and until when, in every tab, also one that signs in again.
    opened = sockets_of(younghee)
    until = back_end.bans("영희", seconds=3600, reason=SPAM)
    told(younghee, "#banner-text", "관리자가 들어오지 못하게 막았습니다", SPAM, when(younghee, until))
    expect(younghee.find("#banner-action")).to_have_text("다시 시도")
    younghee.hurries()
    tab = another_tab(younghee)
    fill(tab, "영희", PASSWORD)
    told(tab, "#sign-in-error", "관리자가 들어오지 못하게 막았습니다", SPAM, when(tab, until))
    assert opened == [], "nobody asks by themselves to be let in again"
    younghee.find("#banner-action").click()
    eventually(younghee, lambda: len(opened) == 1)
    told(younghee, "#banner-text", SPAM, when(younghee, until))
    back_end.ask("DELETE", "/users/영희/ban")
    younghee.find("#banner-action").click()
    younghee.is_connected()
    younghee.sees("여기는 됩니다")
    younghee.say("다녀왔습니다")
    assert tab.unexpected_problems() == []

    # The room is gone, and so is what was said in it.
    back_end.ask("DELETE", "/rooms/마당")
    told(gildong, "#out", "관리자가 이 방을 없앴습니다")
    gildong.find("#out-action").click()
    gildong.is_in("마당")
    expect(gildong.find(".message")).to_have_count(0)


def test_whoever_is_banned_from_a_room_is_told_so_at_every_try(member, back_end):  # noqa: F811
    one = sign_in(member(locale="en-GB"))
    one.create_or_join("마당")
    one.say("hello")
    until = back_end.bans("길동", room="마당", seconds=600, reason="spam & more")
    told(one, "#out", "A moderator has banned you from this room.", "spam & more", when(one, until))
    one.sees("hello")
    one.noting("#out", "(element) => element.hidden")
    one.find("#out-action").click()
    eventually(one, lambda: True in one.noted("#out") and one.noted("#out")[-1] is False)
    told(one, "#out", "spam & more", when(one, until))
    back_end.ask("DELETE", "/users/길동/ban?room=마당")
    back_end.bans("길동", room="마당")
    one.page.reload()
    one.is_connected()
    one.page.get_by_role("button", name="마당").click()
    told(one, "#blank-text", "A moderator has banned you from this room.", "No end is set.")
    back_end.ask("DELETE", "/users/길동/ban?room=마당")
    one.page.get_by_role("button", name="Try again").click()
    one.is_in("마당")


@pytest.mark.parametrize("locale, words", [("ko-KR", "관리자가 내보냈습니다."), ("en-GB", "A moderator put you out.")])
def test_whoever_is_put_out_comes_back_when_they_ask_to(member, back_end, locale, words):  # noqa: F811
    one = sign_in(member(locale=locale))
    one.create_or_join("마당")
    one.say("하나")
    opened = sockets_of(one)
    back_end.ask("DELETE", "/users/길동/connections")
    expect(one.find("#banner-text")).to_have_text(words)
    one.hurries()
    one.write("둘")
    expect(one.find(".outgoing .failed")).to_have_count(1)
    assert opened == []
    one.find("#banner-action").click()
    one.is_connected()
    one.sees("하나")
    one.find(".outgoing .failed button").first.click()
    expect(one.find(".outgoing li")).to_have_count(0)
    one.sees_in_order(["하나", "둘"])


def test_a_banned_guest_is_told_why_at_the_entry(member, back_end):  # noqa: F811
    back_end.bans("길손", reason=SPAM)
    one = member()
    opened = sockets_of(one)
    one.find("#other-way-button").click()
    one.find("#name").fill("길손")
    one.find("#enter").click()
    told(one, "#entry-error", "관리자가 들어오지 못하게 막았습니다", SPAM, "기한은 없습니다")
    one.hurries()
    one.find("#name").fill("딴사람")
    one.find("#enter").click()
    one.is_connected()
    assert len(opened) == 2


def test_what_a_room_does_not_take_is_marked_and_not_sent_again(visitor, back_end, make_proxy, configured):  # noqa: F811
    proxy = make_proxy(configured.port)
    one = visitor(proxy.url).expects(*CUT)
    one.page.goto(proxy.url)
    sign_in(one).create_or_join("마당")
    one.say("하나")
    back_end.ask("PATCH", "/rooms/마당", {"write": "moderators"})
    one.write("둘")
    told(one, ".outgoing .failed", "둘", "허락되지 않았습니다")
    frames = frames_of(one)
    back_end.ask("PATCH", "/rooms/마당", {"write": "everyone"})
    proxy.cut()
    one.hurries()
    one.is_connected()
    one.write("셋")
    told(one, ".outgoing .failed", "둘")
    one.sees_in_order(["하나", "셋", "둘"])
    assert [frame["content"] for sender, frame in frames if sender == "page" and frame["type"] == "chat"] == ["셋"]


def test_what_was_deleted_while_the_network_was_down_is_gone_when_it_is_back(visitor, back_end, make_proxy, configured):  # noqa: F811
    proxy = make_proxy(configured.port)
    one = visitor(proxy.url).expects(*CUT)
    one.page.goto(proxy.url)
    sign_in(one).create_or_join("마당")
    for text in ("하나", "둘", "셋"):
        one.say(text)
    proxy.is_open = False
    proxy.cut()
    expect(one.find("#state")).to_have_class("state is-reconnecting")
    back_end.deletes("마당", "둘")
    back_end.says("마당", "넷")
    back_end.says("마당", "다섯")
    back_end.deletes("마당", "넷")
    proxy.is_open = True
    one.hurries()
    one.is_connected()
    one.sees_in_order(["하나", "셋", "다섯"])
    expect(one.find(".messages .deleted")).to_have_count(2)
    expect(one.find(".gap")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_moderators_do_is_told_so_that_everybody_can_read_it(member, back_end, scheme, viewport):  # noqa: F811
    one = sign_in(member(viewport=viewport, color_scheme=scheme, reduced_motion="reduce"))
    one.page.goto(f"{one.url}/?room=마당")
    one.is_in("마당")
    for text in ("하나", "둘", "셋"):
        one.say(text)
    back_end.says("마당", "넷")
    back_end.deletes("마당", "하나")
    one.page.reload()
    one.is_in("마당")
    for text in ("둘", "넷"):
        back_end.deletes("마당", text)
    back_end.says("마당", "다섯")
    one.sees_in_order(["셋", "다섯"])
    expect(one.find(".deleted")).to_have_count(3)
    assert violations(one) == [] and fits(one)
    look(one, f"deleted-{scheme}")
    back_end.ask("DELETE", "/users/길동/connections?room=마당&reason=" + 6 * "조금 쉬었다 오세요. ")
    told(one, "#out", "조금 쉬었다")
    assert violations(one) == [] and fits(one)
    look(one, f"out-{scheme}")
    back_end.bans("길동", seconds=86400, reason=256 * "가")
    told(one, "#banner-text", 256 * "가")
    expect(one.find("#banner-action")).to_be_in_viewport(ratio=1)
    assert violations(one) == [] and fits(one)
    look(one, f"banned-{scheme}")
    tab = another_tab(one)
    fill(tab, "길동", PASSWORD)
    told(tab, "#sign-in-error", 256 * "가")
    assert violations(tab) == [] and fits(tab)
    look(tab, f"entry-{scheme}")
    assert tab.unexpected_problems() == []
