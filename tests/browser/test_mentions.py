"""Being called: mentions in the text, their numbers, names that are completed; notifications, the icon, the sound, rooms that are muted."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect


DESKTOP = {"width": 1280, "height": 800}

# Mentions


def test_a_mention_is_marked_and_stands_out_for_whom_it_mentions(visitor):
    one, friend = visitor().enter("홍길동", "마당"), visitor().enter("영희", "마당")
    friend.say("@홍길동님, @없는이 a@홍길동 @영희")
    expect(one.find(".mentions-us")).to_have_count(1)
    expect(one.find(".mention.own")).to_have_text("@홍길동")
    expect(one.find(".mention:not(.own)")).to_have_text("@영희")
    expect(friend.find(".mentions-us")).to_have_count(0)
    expect(friend.find(".mention.own")).to_have_text("@영희")
    # What is quoted, or shown as code, calls nobody.
    friend.write("> @홍길동\n`@홍길동`")
    friend.say("다음")
    one.sees("다음")
    expect(one.find(".mentions-us")).to_have_count(1)


def test_of_several_names_the_longest_one_is_mentioned(visitor):
    ann, anna, kim = (visitor().enter(name, "마당") for name in ("Ann", "Anna Lee", "김"))
    for one in (ann, anna):
        expect(one.find("#persons")).to_contain_text("김")
    expect(kim.find("#people-count")).to_have_text("3")
    kim.say("@anna lee! @annual @Ann?")
    expect(ann.find(".mention")).to_have_text(["@anna lee", "@Ann"])
    expect(ann.find(".mention.own")).to_have_text(["@Ann"])
    expect(anna.find(".mention.own")).to_have_text(["@anna lee"])


def test_mentions_are_counted_apart_until_they_are_read(visitor):
    one, friend = visitor().enter("홍길동", "마당"), visitor().enter("영희", "마당")
    one.create_or_join("다른 방")
    friend.say("그냥 하는 말")
    friend.say("@홍길동 어디 있나요")
    expect(one.find("#joined .unread:visible")).to_contain_text("2")
    expect(one.find("#joined .mentions:visible")).to_contain_text("@1")
    expect(one.find("#joined .mentions:visible")).to_contain_text("나를 부른 메시지 1개")
    expect(one.page).to_have_title(re.compile(r"^@1 \(2\) "))
    one.open("마당")
    expect(one.find("#joined .badge:visible")).to_have_count(0)
    expect(one.page).to_have_title(re.compile(r"^마당 "))


def test_a_mention_of_before_is_marked_but_not_counted(visitor):
    friend = visitor().enter("영희", "마당")
    friend.say("@홍길동 오면 말해 주세요")
    one = visitor().enter("홍길동", "마당")
    expect(one.find(".mentions-us")).to_have_count(1)
    expect(one.page).to_have_title(re.compile(r"^마당 "))


# Names that are completed


@pytest.fixture
def in_company(visitor):
    """Somebody in a room with three others."""
    one = visitor(viewport=DESKTOP).enter("홍길동", "마당")
    for name in ("영희", "영수 <b>", "Bob"):
        visitor().enter(name, "마당")
    expect(one.find("#people-count")).to_have_text("4")
    return one


def test_a_name_is_completed_by_keyboard(in_company):
    one, text = in_company, in_company.find("#text")
    text.press_sequentially("안녕 @영")
    options = one.find("#names [role=option]")
    expect(options).to_have_count(2)
    expect(options.first).to_have_attribute("aria-selected", "true")
    chosen = options.nth(1).locator("bdi").text_content()
    text.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    assert text.get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    text.press("ArrowDown")
    text.press("ArrowUp")
    text.press("Enter")
    expect(text).to_have_value(f"안녕 @{chosen} ")
    expect(one.find("#names")).to_be_hidden()
    text.press_sequentially("@b")
    text.press("Tab")
    expect(text).to_have_value(f"안녕 @{chosen} @Bob ")
    expect(text).to_be_focused()
    text.press("Enter")
    expect(one.find(".mine .mention")).to_have_text([f"@{chosen}", "@Bob"])


def test_the_list_of_names_is_closed_with_escape_and_enter_sends(in_company):
    one, text = in_company, in_company.find("#text")
    text.press_sequentially("@영")
    expect(one.find("#names")).to_be_visible()
    text.press("Escape")
    expect(one.find("#names")).to_be_hidden()
    text.press_sequentially("어")
    expect(one.find("#names")).to_be_hidden()
    text.press("Enter")
    one.sees("@영어")
    # A name that is written out, an e-mail address and an @ in the air offer nothing either.
    for written in ("@영희", "a@영", "@없는 사람"):
        text.press_sequentially(written)
        expect(one.find("#names")).to_be_hidden()
        text.press("Enter")
        one.sees(written)


def test_a_name_is_chosen_with_the_mouse_in_the_middle_of_a_text(in_company):
    one, text = in_company, in_company.find("#text")
    text.fill("어이  보세요")
    text.evaluate("(e) => e.setSelectionRange(3, 3)")
    text.press_sequentially("@영")
    one.find("#names [role=option]", has_text="영수").click()
    expect(text).to_have_value("어이 @영수 <b> 보세요")
    expect(text).to_be_focused()
    expect(one.find("#names b")).to_have_count(0)
    assert text.evaluate("(e) => e.selectionStart") == len("어이 @영수 <b> ")


def test_keys_of_an_input_method_are_not_taken_for_a_choice(in_company):
    one, text = in_company, in_company.find("#text")
    text.press_sequentially("@영")
    expect(one.find("#names")).to_be_visible()
    for key in ("Enter", "ArrowDown", "Tab"):
        text.dispatch_event("keydown", {"key": key, "isComposing": True, "bubbles": True, "cancelable": True})
    expect(text).to_have_value("@영")
    expect(one.find("#names [role=option]").first).to_have_attribute("aria-selected", "true")


def violations(one):
    found = Axe().run(one.page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_about_text_and_mentions(visitor, scheme):
    friend = visitor().enter("영희", "마당")
    one = visitor(viewport=DESKTOP, color_scheme=scheme, reduced_motion="reduce").enter("홍길동", "마당")
    friend.write("@홍길동 `코드` www.example.org\n> 인용\n```\n" + "긴 줄 " * 50 + "\n```\n@영희")
    expect(one.find(".mentions-us pre")).to_have_count(1)
    one.find("#text").press_sequentially("@")
    expect(one.find("#names")).to_be_visible()
    assert violations(one) == []
