"""Guests on the chat page: what marks them beside people who signed in, and the names they hold."""

import re

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import CUT, Visitor
from test_chat import PHONE
from test_sign_in import configured, eventually, member, sign_in, sockets_of, users  # noqa: F401

# Looks like the account 길동, and is as long as a name may be.
LONG = "길동" + "\u3000" * 29 + "."


def as_guest(one, name):
    one.find("#other-way-button").click()
    one.find("#name").fill(name)
    one.find("#enter").click()
    one.is_connected()
    return one


@pytest.mark.parametrize("server_options", [("--guests",)])
@pytest.mark.parametrize("locale, mark", [("ko-KR", "손님"), ("en-GB", "guest")])
def test_a_guest_is_marked_wherever_one_is_named_and_somebody_who_signed_in_is_not(member, locale, mark):
    host, kim = sign_in(member(locale=locale)), as_guest(member(), "<i>kim</i>")
    host.create_or_join("마당")
    kim.page.get_by_role("button", name=re.compile("마당")).click()
    kim.is_in("마당")
    expect(host.find("#persons button .guest")).to_have_text(mark)
    expect(host.find(".presence .guest")).to_have_text(mark)
    expect(kim.find("#persons button .guest")).to_have_count(0)
    expect(kim.find("#persons .guest")).to_have_text("손님")  # themselves
    kim.say("안녕하세요")
    host.sees("안녕하세요")
    expect(host.find(".message:not(.mine) .by")).to_have_text(f"<i>kim</i>{mark}")
    host.say("어서 오세요")
    kim.sees("어서 오세요")
    expect(kim.find(".message:not(.mine) .by")).to_have_text("길동")
    kim.whisper_to("길동")
    kim.say("비밀입니다")
    host.open("<i>kim</i>")
    expect(host.find(".message .by")).to_have_text(f"<i>kim</i>{mark}")
    # Read again from the history, and from the list of a room that is entered later.
    later = sign_in(member(locale=locale), "영희")
    later.create_or_join("마당")
    expect(later.find(".message .by .guest")).to_have_text(mark)
    expect(later.find("#persons button", has_text="kim").locator(".guest")).to_have_text(mark)
    expect(later.find("#persons button", has_text="길동").locator(".guest")).to_have_count(0)
    expect(later.find("i")).to_have_count(0)


@pytest.mark.parametrize("server_options", [("--guests",)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_name_is_so_long_that_it_hides_the_mark(member, scheme):
    host, long = member(viewport=PHONE, color_scheme=scheme), member()
    for page in (host, long):
        page.page.goto(f"{page.url}/?room=마당")
    sign_in(host).is_in("마당")
    as_guest(long, LONG).is_in("마당")
    long.say("제가 길동입니다")
    host.sees("제가 길동입니다")
    expect(host.find(".by .guest")).to_be_in_viewport(ratio=1)
    assert violations(host) == []
    host.find("#open-people").click()
    expect(host.find("#persons button .guest")).to_be_in_viewport(ratio=1)
    assert violations(host) == []


def test_in_the_demo_nobody_is_marked(visitor):
    one, two = visitor().enter("한사람", "마당"), visitor().enter("딴사람", "마당")
    one.say("안녕하세요")
    two.sees("안녕하세요")
    for page in (one, two):
        expect(page.find(".guest")).to_have_count(0)


@pytest.mark.parametrize("locale, words", [("ko-KR", "다른 분이 쓰고 있는 이름입니다"), ("en-GB", "Someone else is using that name")])
def test_a_name_that_another_guest_holds_is_told_and_another_one_is_free(visitor, locale, words):
    visitor().enter("Alex")
    other = visitor(locale=locale)
    opened = sockets_of(other)
    other.page.goto(other.url)
    for name in ("Alex", "aLEX"):
        other.find("#name").fill(name)
        other.find("#enter").click()
        expect(other.find("#entry-error")).to_contain_text(words)
    assert len(opened) == 2, "a refusal is final"
    other.find("#name").fill("Alexa")
    other.find("#enter").click()
    other.is_connected()
    keys = [re.search(r"&key=([\w-]{16,64})$", address)[1] for address in opened]
    assert len(set(keys)) == 2, "each name has its own key"


def test_every_tab_of_a_browser_and_a_reload_share_the_name(visitor):
    one = visitor().enter("Alex", "마당")
    tab = Visitor(one.page.context.new_page(), one.url)
    tab.enter("Alex", "마당")
    one.page.reload()
    one.is_in("마당")
    tab.say("저는 하나입니다")
    one.sees("저는 하나입니다")
    expect(one.find("#people-count")).to_have_text("1")
    assert tab.unexpected_problems() == []


def cut_off(visitor, proxy):
    """Alex, whose network is down."""
    one = visitor(proxy.url).expects(*CUT).enter("Alex", "마당")
    proxy.is_open = False
    proxy.cut()
    expect(one.find("#state")).to_have_class("state is-reconnecting")
    return one


@pytest.mark.parametrize("server_options", [("--presence-grace", "600")])
def test_a_name_is_kept_while_the_network_is_down(visitor, proxy):
    one = cut_off(visitor, proxy)
    other = visitor()
    other.page.goto(other.url)
    other.find("#name").fill("Alex")
    other.find("#enter").click()
    expect(other.find("#entry-error")).to_contain_text("다른 분이 쓰고 있는 이름입니다")
    proxy.is_open = True
    one.hurries()
    one.is_connected()
    one.say("다녀왔습니다")


@pytest.mark.parametrize("server_options", [("--presence-grace", "0")])
def test_a_name_that_was_lost_meanwhile_ends_the_stay_with_the_reason(visitor, proxy):
    one = cut_off(visitor, proxy)
    visitor().enter("Alex")
    opened = sockets_of(one)
    proxy.is_open = True
    one.hurries()
    expect(one.find("#banner-text")).to_contain_text("다른 분이 쓰고 있는 이름입니다")
    one.find("#banner-action").click()
    before = len(opened)
    expect(one.find("#name")).to_be_visible()
    one.find("#name").fill("Alexa")
    one.find("#enter").click()
    one.is_connected()
    eventually(one, lambda: len(opened) == before + 1)
