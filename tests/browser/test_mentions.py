"""Being called: mentions in the text, their numbers, names that are completed; notifications, the icon, the sound, rooms that are muted."""

import json
import re

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import Visitor


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


def test_a_name_is_chosen_by_touch(visitor, server):
    friend = visitor().enter("영희", "마당")
    one = visitor(f"{server.url}/?room=마당&username=홍길동", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    one.page.goto(one.url)
    one.find("#enter").tap()
    one.is_in("마당")
    one.find("#text").tap()
    one.find("#text").press_sequentially("@영")
    one.find("#names [role=option]").tap()
    expect(one.find("#text")).to_have_value("@영희 ")
    expect(one.find("#text")).to_be_focused()
    one.find("#send").tap()
    expect(friend.find(".mention.own")).to_have_text("@영희")


def test_keys_of_an_input_method_are_not_taken_for_a_choice(in_company):
    one, text = in_company, in_company.find("#text")
    text.press_sequentially("@영")
    expect(one.find("#names")).to_be_visible()
    for key in ("Enter", "ArrowDown", "Tab"):
        text.dispatch_event("keydown", {"key": key, "isComposing": True, "bubbles": True, "cancelable": True})
    expect(text).to_have_value("@영")
    expect(one.find("#names [role=option]").first).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_about_text_and_mentions(visitor, scheme):
    friend = visitor().enter("영희", "마당")
    one = visitor(viewport=DESKTOP, color_scheme=scheme, reduced_motion="reduce").enter("홍길동", "마당")
    friend.write("@홍길동 `코드` www.example.org\n> 인용\n```\n" + "긴 줄 " * 50 + "\n```\n@영희")
    expect(one.find(".mentions-us pre")).to_have_count(1)
    one.find("#text").press_sequentially("@")
    expect(one.find("#names")).to_be_visible()
    assert violations(one) == []


# Notifications, the icon, the sound

# Stands in for the browser's, which a page cannot look at: keeps what was notified, and answers for the person.
RECORDER = """
  window.notified = [];
  window.Notification = class {
    static permission = localStorage.getItem('permission') ?? 'PERMISSION';
    static asked = 0;
    static async requestPermission() { this.asked += 1; return this.permission = 'ANSWER'; }
    constructor(title, options) { Object.assign(this, { title, ...options, closed: false }); if (title) notified.push(this); }
    close() { this.closed = true; }
  };
"""

# Counts the calls that a tab has had its turn at: it took them, found them taken, or another tab is looked at that shows them.
TURNS = """
  window.turns = 0;
  const { request, query } = navigator.locks;
  const seen = ({ held }) => held.filter(({ name }) => name.startsWith('sarang.seen'));
  navigator.locks.request = (name, options, use) => request.call(navigator.locks, name, options, (lock) => {
    if (name.startsWith('sarang.call ')) setTimeout(() => { turns += 1; });
    return use(lock);
  });
  navigator.locks.query = async () => { const state = await query.call(navigator.locks); if (seen(state).length) turns += 1; return state; };
  window.sights = async () => seen(await query.call(navigator.locks)).length;
"""

# Stands in for the loudspeaker.
SPEAKER = """
  window.notes = 0;
  window.AudioContext = class {
    state = 'running'; currentTime = 0; destination = {};
    createOscillator() { return { frequency: {}, connect: (to) => to, start() { notes += 1; }, stop() {} }; }
    createGain() { return { gain: { setValueAtTime() {}, linearRampToValueAtTime() {}, exponentialRampToValueAtTime() {} }, connect: (to) => to }; }
    suspend() {}
  };
"""


def recorder(permission="default", answer="granted"):
    return RECORDER.replace("PERMISSION", permission).replace("ANSWER", answer)


def has_had_turns(one, number):
    one.page.wait_for_function("(number) => turns === number", arg=number)


def looks(one, at_it):
    state = "visible" if at_it else "hidden"
    one.page.evaluate(f"""Object.defineProperty(document, 'visibilityState', {{ value: '{state}', configurable: true }});
        document.dispatchEvent(new Event('visibilitychange'))""")


def wishes(one, **settings):
    """What a person has chosen in the settings, before the page is opened."""
    one.page.add_init_script(f"localStorage.setItem('sarang.settings', '{json.dumps(settings)}')")


def notified(one, number):
    """The notifications, as soon as there are so many."""
    one.page.wait_for_function("(number) => notified.length >= number", arg=number)
    return one.page.evaluate("notified.map(({ title, body, tag, silent, closed }) => ({ title, body, tag, silent, closed }))")


def test_a_mention_and_a_whisper_notify_while_the_page_is_hidden(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script(recorder("granted"))
    wishes(one, notifications=True)
    one.enter("홍길동", "마당")
    friend.say("@홍길동 보고 있는 동안")
    one.sees("보고 있는 동안")
    looks(one, False)
    friend.say("그냥 하는 말")
    friend.say("@홍길동 " + "긴 말 " * 100)
    first = notified(one, 1)
    assert [each["title"] for each in first] == ["영희 · 마당"]
    assert first[0]["body"].startswith("@홍길동 긴 말") and len(first[0]["body"]) < 150
    friend.whisper_to("홍길동")
    friend.say("비밀입니다")
    whisper = notified(one, 2)[1]
    assert whisper["title"] == "영희님의 귓속말"
    assert "비밀" not in whisper["body"]
    assert whisper["tag"] != first[0]["tag"]
    # A click leads to what was said, and what was read takes its notification away.
    one.page.evaluate("notified[1].onclick()")
    expect(one.find("#place")).to_have_text("영희")
    looks(one, True)
    one.sees("비밀입니다")
    one.open("마당")
    one.page.wait_for_function("() => notified.every(({ closed }) => closed)")


def test_whoever_has_the_page_read_out_hears_of_calls_from_elsewhere_and_of_no_other_message(visitor):
    one, friend = visitor().enter("홍길동", "마당"), visitor().enter("영희", "마당")
    one.create_or_join("뒤뜰")
    one.noting("#spoken")
    friend.say("그냥 하는 말")
    friend.say("@홍길동 어디 계세요?")
    one.was_told("마당에서 영희님이 나를 불렀습니다.")
    expect(one.find("#spoken")).to_have_attribute("role", "status")
    assert "마당에서 영희님이 나를 불렀습니다." in one.noted("#spoken")
    # It is no text of the page for long.
    expect(one.find("#spoken")).to_have_text("")
    friend.whisper_to("홍길동")
    friend.say("비밀입니다")
    one.was_told("영희님의 귓속말")
    one.open("영희")
    one.sees("비밀입니다")
    expect(one.find("#spoken")).to_have_text("")
    friend.say("둘째 비밀")
    one.sees("둘째 비밀")
    assert one.noted("#spoken").count("영희님의 귓속말") == 1


def test_whispers_of_strangers_share_one_notification(visitor):
    one = visitor()
    one.page.add_init_script(recorder("granted"))
    wishes(one, notifications=True)
    one.enter("홍길동", "마당")
    looks(one, False)
    for number, name in enumerate(("하나", "둘", "셋"), 1):
        stranger = visitor().enter(name, "마당")
        stranger.whisper_to("홍길동")
        stranger.say("안녕하세요")
        # Each takes the place of the one before.
        assert len({each["tag"] for each in notified(one, number)}) == 1


def test_nobody_is_asked_before_a_call_was_missed_and_then_once(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script(recorder())
    one.enter("홍길동", "마당")
    friend.say("@홍길동 보고 있는 동안")
    one.sees("보고 있는 동안")
    expect(one.find("#ask")).to_be_empty()
    looks(one, False)
    friend.say("@홍길동 어디 갔나요")
    expect(one.page).to_have_title(re.compile("^@1 "))
    expect(one.find("#ask")).to_be_empty()
    looks(one, True)
    expect(one.find("#ask")).to_contain_text("누가 불렀습니다")
    assert one.page.evaluate("Notification.asked") == 0
    one.page.get_by_role("button", name="알림 받기").click()
    expect(one.find("#ask")).to_be_empty()
    one.page.wait_for_function("() => Notification.asked === 1")
    looks(one, False)
    friend.say("@홍길동 이제는요")
    assert notified(one, 1)[0]["title"] == "영희 · 마당"
    looks(one, True)
    expect(one.find("#ask")).to_be_empty()


def test_whoever_wants_no_notifications_is_not_asked_again(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script(recorder())
    one.enter("홍길동", "마당")
    for round, said in enumerate(("하나", "둘")):
        looks(one, False)
        friend.say(f"@홍길동 {said}")
        expect(one.page).to_have_title(re.compile("^@1 "))
        looks(one, True)
        if round == 0:
            one.page.get_by_role("button", name="받지 않기").click()
        expect(one.find("#ask")).to_be_empty()
    assert one.page.evaluate("[Notification.asked, notified.length]") == [0, 0]


def test_a_refusal_of_the_browser_is_told_and_ends_the_wish(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script(recorder(answer="denied"))
    one.enter("홍길동", "마당")
    looks(one, False)
    friend.say("@홍길동 어디 갔나요")
    expect(one.page).to_have_title(re.compile("^@1 "))
    looks(one, True)
    one.page.get_by_role("button", name="알림 받기").click()
    one.was_told("막고 있습니다")
    assert one.page.evaluate("JSON.parse(localStorage.getItem('sarang.settings')).notifications") is False


@pytest.mark.parametrize("answer", ["granted", "denied"])
def test_notifications_are_turned_on_in_the_settings_if_the_browser_lets_them(visitor, answer):
    one = visitor(viewport=DESKTOP)
    one.page.add_init_script(recorder(answer=answer))
    one.enter("홍길동", "마당")
    one.find("#open-settings").click()
    switch = one.find("[data-choice=notifications]")
    switch.click()
    one.page.wait_for_function("() => Notification.asked === 1")
    if answer == "granted":
        expect(switch).to_be_checked()
        expect(one.find(".switches .problem")).to_have_count(0)
    else:
        expect(one.find(".switches .problem")).to_contain_text("막고 있습니다")
        expect(switch).not_to_be_checked()
    assert violations(one) == []


def test_of_several_tabs_one_notifies_and_none_when_one_is_looked_at(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    tabs = [one, Visitor(one.page.context.new_page(), one.url)]
    for tab in tabs:
        tab.page.add_init_script(recorder("granted") + TURNS)
        wishes(tab, notifications=True)
        tab.enter("홍길동", "마당")
        looks(tab, False)
    for number, said in enumerate(("하나", "둘", "셋"), 1):
        looks(tabs[1], said == "둘")
        # One for the whispers, one for the room.
        one.page.wait_for_function("async (number) => await sights() === number", arg=2 if said == "둘" else 0)
        friend.say(f"@홍길동 {said}")
        for tab in tabs:
            has_had_turns(tab, number)
    bodies = sorted(body for tab in tabs for body in tab.page.evaluate("notified.map(({ body }) => body)"))
    assert bodies == ["@홍길동 셋", "@홍길동 하나"]


def test_the_icon_has_a_dot_while_something_is_unread(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script("window.badge = []; navigator.setAppBadge = async (n) => badge.push(n); navigator.clearAppBadge = async () => badge.push(0);")
    one.enter("홍길동", "마당")
    icon = one.page.locator("link[rel=icon]")
    plain = icon.first.get_attribute("href")
    looks(one, False)
    friend.say("하나")
    friend.say("둘")
    expect(one.page).to_have_title(re.compile(r"^\(2\) "))
    expect(icon).to_have_attribute("href", re.compile("circle"))
    looks(one, True)
    expect(icon.first).to_have_attribute("href", plain)
    assert one.page.evaluate("[badge.at(-2), badge.at(-1)]") == [2, 0]


@pytest.mark.parametrize("wanted", [False, True])
def test_a_call_sounds_only_for_those_who_want_it(visitor, wanted):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script(SPEAKER + TURNS)
    if wanted:
        wishes(one, sound=True)
    one.enter("홍길동", "마당")
    one.create_or_join("다른 방")
    friend.say("그냥 하는 말")
    friend.say("@홍길동 들리나요")
    friend.say("@홍길동 또 나요")
    expect(one.find("#joined .mentions:visible")).to_contain_text("@2")
    has_had_turns(one, 2)
    assert (one.page.evaluate("notes") > 0) is wanted


def test_a_muted_room_has_a_quiet_dot_and_only_mentions_are_counted(visitor):
    one, friend = visitor(), visitor().enter("영희", "마당")
    one.page.add_init_script(recorder("granted") + SPEAKER)
    wishes(one, notifications=True, sound=True)
    one.enter("홍길동", "마당")
    one.find("#place-more").click()
    one.page.get_by_role("menuitem", name="이 방 조용히 하기").click()
    expect(one.find("#muted")).to_be_visible()
    one.create_or_join("다른 방")
    expect(one.find("#muted")).to_be_hidden()
    friend.say("그냥 하는 말")
    dot = one.find("#joined .unread:visible")
    expect(dot).to_have_class(re.compile("is-quiet"))
    expect(dot).to_have_text("읽지 않은 메시지 있음")
    looks(one, False)
    friend.say("@홍길동 들리나요")
    expect(one.page).to_have_title(re.compile(r"^@1 다른 방 "))
    # A whisper after it is heard: the mention before was not.
    friend.whisper_to("홍길동")
    friend.say("들리지요")
    assert [each["title"] for each in notified(one, 1)] == ["영희님의 귓속말"]
    assert one.page.evaluate("notes") == 2
    looks(one, True)
    expect(one.find("#joined .mentions:visible")).to_contain_text("@1")
    # Another tab knows, and so does the page of the next visit.
    other = Visitor(one.page.context.new_page(), one.url).enter("홍길동", "마당")
    expect(other.find("#muted")).to_be_visible()
    other.find("#place-more").click()
    other.page.get_by_role("menuitem", name="조용히 하기 끝내기").click()
    # What one tab reads, the others have read: it looks elsewhere.
    other.create_or_join("또 다른 방")
    friend.open("마당")
    friend.say("다시 하는 말")
    expect(one.find("#joined .unread:visible").first).not_to_have_class(re.compile("is-quiet"))
