"""People on the chat page: their menus, hiding them, and the whispers of strangers."""

import json

import pytest
from playwright.sync_api import expect

from accessibility import violations
from test_chat import DESKTOP, PHONE, WRITE_MANY, fits
from test_sign_in import configured, member, sign_in, users  # noqa: F401

# Whispers from so many strangers, by sarang.js without the page.
STRANGERS = """async ([to, from, until]) => {
  const { Sarang } = await import('/static/sarang.js');
  window.callers ??= [];
  await Promise.all(Array.from({ length: until - from }, (_, n) => new Promise((resolve) => {
    const chat = new Sarang({ url: `ws://${location.host}/ws?username=stranger-${from + n}` });
    callers.push(chat);
    const message = chat.whisper(to, `psst ${from + n}`);
    chat.addEventListener('message', () => message.status === 'sent' && resolve());
  })));
}"""


def person_menu(one, name):
    one.find(".person-line", has=one.page.get_by_text(name, exact=True)).hover()
    one.find(".person-line", has=one.page.get_by_text(name, exact=True)).locator(".more").click()
    expect(one.find("dialog.menu")).to_be_visible()
    return one


def message_menu(one, text):
    message = one.find(".message", has_text=text)
    message.hover()
    message.locator(".more").click()
    expect(one.find("dialog.menu")).to_be_visible()
    return one


def choose(one, action):
    one.find(f"dialog.menu [data-action={action}]").click()
    expect(one.find("dialog.menu")).to_have_count(0)


def hide(one, name):
    choose(person_menu(one, name), "hide")


def offered(one):
    return one.find("dialog.menu [role=menuitem]").evaluate_all("(items) => items.map((item) => item.dataset.action)")


# Hiding


def test_a_person_who_is_hidden_is_not_shown_again(visitor):
    me, nuisance, friend = (visitor(viewport=DESKTOP).enter(name, "마당") for name in ("나", "훼방꾼", "친구"))
    nuisance.say("지난 소란")
    friend.say("조용히 해 주세요")
    me.sees("지난 소란")
    hide(me, "훼방꾼")
    expect(me.message("지난 소란")).to_be_hidden()
    nuisance.say("새 소란")
    nuisance.whisper_to("나")
    nuisance.say("귓속 소란")
    friend.say("고맙습니다")
    me.sees("고맙습니다")
    expect(me.find(".bubble:visible")).to_have_text(["조용히 해 주세요", "고맙습니다"])
    expect(me.find("#whispers li, #strangers li")).to_have_count(0)
    expect(me.page).to_have_title("마당 · 사랑방")


def test_comings_and_goings_of_a_hidden_person_are_shown_once_they_are_shown_again(visitor):
    me = visitor(viewport=DESKTOP).enter("나", "마당")
    nuisance = visitor().enter("훼방꾼", "마당")
    hide(me, "훼방꾼")
    expect(me.find(".presence")).to_have_count(0)
    expect(me.find("#blank")).to_contain_text("아직 조용합니다")
    nuisance.find("#leave").click()
    friend = visitor().enter("친구", "마당")
    expect(me.find(".presence")).to_have_text("친구님이 들어왔습니다")
    friend.say("안녕하세요")
    nuisance.create_or_join("마당")
    friend.say("다시 왔네요")
    me.sees("다시 왔네요")
    expect(me.find(".presence")).to_have_text("친구님이 들어왔습니다")
    expect(me.find(".message.first")).to_have_count(1)  # nothing stands between the two
    choose(person_menu(me, "훼방꾼"), "unhide")
    expect(me.find(".presence")).to_have_text(["친구님이 들어왔습니다 · 훼방꾼님이 다녀갔습니다", "훼방꾼님이 들어왔습니다"])


def test_what_hidden_people_say_elsewhere_is_not_unread(visitor):
    me, nuisance, friend = (visitor(viewport=DESKTOP).enter(name, "마당") for name in ("나", "훼방꾼", "친구"))
    hide(me, "훼방꾼")
    me.create_or_join("사랑")
    nuisance.say("소란")
    friend.say("여기요")
    expect(me.find("#joined .badge:visible")).to_contain_text("1")
    me.open("마당")
    expect(me.find(".unread-mark ~ .message")).to_contain_text("여기요")


def test_unread_messages_of_someone_who_gets_hidden_are_no_longer_counted(visitor):
    me, nuisance, friend = (visitor(viewport=DESKTOP).enter(name, "마당") for name in ("나", "훼방꾼", "친구"))
    me.create_or_join("사랑")
    nuisance.create_or_join("사랑")
    nuisance.open("마당")
    nuisance.say("소란")
    friend.say("여기요")
    expect(me.find("#joined .badge:visible")).to_contain_text("2")
    hide(me, "훼방꾼")
    expect(me.find("#joined .badge:visible")).to_contain_text("1")


def test_hiding_is_undone_at_once_or_later_in_the_settings(visitor):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("이웃", "마당")
    other.say("하나")
    me.sees("하나")
    hide(me, "이웃")
    me.find("#told .link").hover()  # what somebody points at stays
    me.was_told("이웃님을 숨겼습니다")
    expect(me.message("하나")).to_be_hidden()
    me.find("#told .link").click()
    expect(me.message("하나")).to_be_visible()
    hide(me, "이웃")
    other.say("둘")
    other.say("셋")
    me.say("넷")
    expect(me.find(".person-line.is-hidden")).to_contain_text("숨김")
    me.find("#open-settings").click()
    me.find(".hidden-people button").click()
    expect(me.find(".hidden-people")).to_be_hidden()
    expect(me.find(".settings-sheet .done")).to_be_focused()
    me.page.keyboard.press("Escape")
    me.sees_in_order(["하나", "둘", "셋", "넷"])
    expect(me.find(".person-line.is-hidden")).to_have_count(0)
    choose(person_menu(me, "이웃"), "hide")
    choose(person_menu(me, "이웃"), "unhide")
    expect(me.message("둘")).to_be_visible()


def test_who_is_hidden_stays_hidden_after_a_reload_and_in_other_tabs_but_not_for_others_here(visitor):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("이웃", "마당")
    other.say("하나")
    me.sees("하나")
    tab = type(me)(me.page.context.new_page(), me.url).enter("나", "마당")
    tab.sees("하나")
    hide(me, "이웃")
    expect(tab.message("하나")).to_be_hidden()
    me.page.reload()
    me.is_in("마당")
    me.say("둘")
    expect(me.find(".bubble:visible")).to_have_text(["둘"])
    me.find("#sign-out").click()
    me.find("#name").fill("다른 나")
    me.find("#enter").click()
    me.is_connected()
    me.create_or_join("마당")
    me.sees("하나")


def test_a_guest_who_is_hidden_does_not_hide_the_account_of_that_name(visitor):
    me = visitor().enter("나", "마당")
    me.page.evaluate("""localStorage.setItem('sarang.hidden', JSON.stringify([['guest 나', [['이웃', true]]]]))""")
    me.page.reload()
    me.is_in("마당")
    other = visitor().enter("이웃", "마당")
    other.say("하나")
    # In the demo nobody is marked as a guest.
    me.sees("하나")
    expect(me.message("하나")).to_be_visible()


@pytest.mark.parametrize("stored", ["{", "7", '[["guest 나", 5], ["guest 나", [7, null, [3]]], 5]'])
def test_a_list_of_hidden_people_that_makes_no_sense_is_as_good_as_none(visitor, stored):
    one = visitor(viewport=DESKTOP)
    one.page.add_init_script(f"if (!sessionStorage.length) localStorage.setItem('sarang.hidden', {json.dumps(stored)})")
    one.enter("나", "마당")
    one.say("하나")
    other = visitor().enter("이웃", "마당")
    other.say("둘")
    one.sees("둘")
    hide(one, "이웃")
    expect(one.message("둘")).to_be_hidden()


def test_no_more_people_are_kept_than_the_list_may_have(visitor):
    one = visitor(viewport=DESKTOP)
    people = json.dumps([["guest 나", [[f"n{n}", True] for n in range(199)] + [["account", False]]]])
    one.page.add_init_script(f"if (!sessionStorage.length) localStorage.setItem('sarang.hidden', {json.dumps(people)})")
    one.enter("나", "마당")
    visitor().enter("이웃", "마당").say("하나")
    hide(one, "이웃")
    kept = one.page.evaluate("JSON.parse(localStorage.getItem('sarang.hidden'))[0][1].map(([name]) => name)")
    assert len(kept) == 200
    assert kept[0] == "n1" and kept[-2:] == ["account", "이웃"]


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_a_flood_from_someone_who_is_hidden_takes_no_place_of_what_others_say(visitor):
    me, friend = (visitor(viewport=DESKTOP).enter(name, "마당") for name in ("나", "친구"))
    friend.say("오래 남을 말")
    friend.page.evaluate(WRITE_MANY, ["마당", 0, 1])
    choose(message_menu(me, "글 0."), "hide")
    friend.page.evaluate(WRITE_MANY, ["마당", 1, 620])
    friend.say("지나갔나요?")
    me.sees("지나갔나요?")
    expect(me.find(".bubble:visible")).to_have_text(["오래 남을 말", "지나갔나요?"])
    me.find("#open-settings").click()
    me.find(".hidden-people button").click()
    me.page.keyboard.press("Escape")
    me.sees("글 619.")
    me.sees("오래 남을 말")


# Whispers


def test_whispers_of_many_strangers_are_folded_and_all_closed_at_once(visitor):
    me, friend = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("친구", "마당")
    me.whisper_to("친구")
    me.say("잘 지내요?")
    friend.page.evaluate(STRANGERS, ["나", 0, 31])
    expect(me.find("#strangers-count")).to_have_text("31")
    expect(me.find("#strangers li:visible")).to_have_count(0)
    expect(me.find("#strangers-unread")).to_contain_text("31")
    expect(me.find("#whispers li")).to_have_count(1)
    me.find("#strangers-section summary").click()
    me.find("#strangers-section summary").hover()
    assert violations(me) == []
    me.find("#strangers button", has_text="stranger-30").click()
    me.sees("psst 30")
    # Whoever is answered is no stranger.
    me.say("누구세요?")
    expect(me.find("#whispers li")).to_have_count(2)
    expect(me.find("#strangers-count")).to_have_text("30")
    expect(me.find("#create-room")).to_be_in_viewport()
    assert violations(me) == []
    me.find("#close-whispers").click()
    me.was_told("귓속말 32개를 닫았습니다")
    expect(me.find("#whispers-section")).to_be_hidden()
    expect(me.find("#place")).to_have_text("마당")
    expect(me.page).to_have_title("마당 · 사랑방")


def test_no_more_than_100_whispers_are_kept_and_those_one_answered_stay(visitor):
    me, friend = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("친구", "마당")
    me.whisper_to("친구")
    me.say("잘 지내요?")
    me.open("마당")
    friend.page.evaluate(STRANGERS, ["나", 0, 99])
    expect(me.find("#strangers-count")).to_have_text("99")
    friend.page.evaluate(STRANGERS, ["나", 100, 120])
    expect(me.find("#strangers li").first).to_contain_text("stranger-1")
    expect(me.find("#strangers li")).to_have_count(99)
    expect(me.find("#whispers .place-name")).to_have_text(["친구"])


def test_a_few_strangers_are_among_the_other_whispers(visitor):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("이웃", "마당")
    other.page.evaluate(STRANGERS, ["나", 0, 3])
    expect(me.find("#whispers li")).to_have_count(3)
    expect(me.find("#strangers-section")).to_be_hidden()


def test_a_person_is_hidden_from_the_whispers_with_them(visitor):
    me, nuisance = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("훼방꾼", "마당")
    nuisance.whisper_to("나")
    nuisance.say("소란")
    me.open("훼방꾼")
    me.find("#place-more").click()
    choose(me, "hide")
    expect(me.find("#place")).to_have_text("마당")
    expect(me.find("#whispers-section")).to_be_hidden()
    nuisance.say("또 소란")
    nuisance.open("마당")
    nuisance.say("모두에게 소란")
    me.say("조용하네요")
    expect(me.find("#whispers-section")).to_be_hidden()
    expect(me.find(".bubble:visible")).to_have_text(["조용하네요"])


# Menus


def test_the_link_of_a_room_is_copied_and_leads_there(visitor):
    me = visitor(viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"]).enter("나", "마당 & 뜰")
    me.find("#place-more").click()
    me.page.get_by_role("menuitem", name="방 링크 복사").click()
    me.was_told("복사했습니다")
    link = me.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{me.url}/?room=") and "at=" not in link
    friend = visitor(link).enter("벗")
    friend.is_in("마당 & 뜰")


def test_a_message_is_copied_and_its_author_is_called_or_whispered_to(visitor):
    me, other = visitor(viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"]).enter("나", "마당"), visitor().enter("이 웃", "마당")
    other.say("첫 줄")
    me.sees("첫 줄")
    me.find("#text").fill("안녕")
    choose(message_menu(me, "첫 줄"), "copy")
    me.was_told("복사했습니다")
    assert me.page.evaluate("navigator.clipboard.readText()") == "첫 줄"
    choose(message_menu(me, "첫 줄"), "mention")
    expect(me.find("#text")).to_have_value("안녕 @이 웃 ")
    expect(me.find("#text")).to_be_focused()
    choose(message_menu(me, "첫 줄"), "whisper")
    expect(me.find("#private")).to_be_visible()
    expect(me.find("#place")).to_have_text("이 웃")


def test_a_menu_is_used_with_the_keyboard_alone(visitor):
    me, other = visitor(viewport=DESKTOP, locale="en-GB").enter("나", "마당"), visitor().enter("이웃", "마당")
    for text in ("하나", "둘", "셋"):
        other.say(text)
        me.sees(text)
    keyboard = me.page.keyboard
    me.find(".log").focus()
    keyboard.press("Tab")
    expect(me.find(".message", has_text="셋").locator(".more")).to_be_focused()
    keyboard.press("ArrowUp")
    keyboard.press("ArrowUp")
    button = me.find(".message", has_text="하나").locator(".more")
    expect(button).to_be_focused()
    keyboard.press("Enter")
    items = me.find("dialog.menu [role=menuitem]")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(items.first).to_be_focused()
    keyboard.press("ArrowUp")
    expect(items.last).to_be_focused()
    keyboard.press("ArrowDown")
    expect(items.first).to_be_focused()
    keyboard.press("End")
    expect(items.last).to_be_focused()
    keyboard.press("w")
    expect(me.find("[data-action=whisper]")).to_be_focused()
    keyboard.press("Escape")
    expect(me.find("dialog.menu")).to_have_count(0)
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "false")
    # A new message leaves the focus where it is.
    other.say("넷")
    me.sees("넷")
    expect(button).to_be_focused()
    keyboard.press("End")
    expect(me.find(".message", has_text="넷").locator(".more")).to_be_focused()
    assert me.page.evaluate("document.querySelectorAll('.log .more[tabindex=\"0\"]').length") == 1


def test_a_menu_closes_with_a_click_beside_it_and_when_another_conversation_is_shown(visitor):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor().enter("이웃", "마당")
    other.say("하나")
    message_menu(me, "하나")
    me.page.mouse.click(5, 5)
    expect(me.find("dialog.menu")).to_have_count(0)
    expect(me.find(".message .more")).to_be_focused()


LONG_PRESS = """(element, [ms, move]) => new Promise((resolve) => {
  const { left, top } = element.getBoundingClientRect();
  const fire = (type, dx) => element.dispatchEvent(new PointerEvent(type, { pointerType: 'touch', isPrimary: true, bubbles: true, cancelable: true, clientX: left + 20 + dx, clientY: top + 10 }));
  fire('pointerdown', 0);
  if (move) fire('pointermove', move);
  setTimeout(() => { fire('pointerup', move); resolve(); }, ms);
})"""


def test_on_a_phone_a_finger_that_rests_on_a_message_opens_its_menu(visitor):
    other = visitor().enter("이웃", "마당")
    me = visitor(viewport=PHONE, has_touch=True, is_mobile=True).enter_by_touch("나", "마당")
    other.say("https://example.org/ 하나")
    me.sees("하나")
    bubble = me.message("하나")
    bubble.tap()
    # The button that nobody needs there would lie over the time.
    assert me.find(".message .more").first.evaluate("(button) => getComputedStyle(button).opacity") == "0"
    for time, move in ((30, 0), (900, 40)):
        bubble.evaluate(LONG_PRESS, [time, move])
        expect(me.find("dialog.menu")).to_have_count(0)
    bubble.evaluate(LONG_PRESS, [900, 0])
    expect(me.find("dialog.menu")).to_be_visible()
    box = me.find("dialog.menu").bounding_box()
    assert box["width"] == PHONE["width"] and round(box["y"] + box["height"]) == PHONE["height"]
    for item in me.find("dialog.menu [role=menuitem]").all():
        assert item.bounding_box()["height"] >= 44
    assert fits(me) and violations(me) == []
    me.find("[data-action=mention]").tap()
    expect(me.find("#text")).to_have_value("@이웃 ")


def test_one_can_hide_somebody_on_a_phone(visitor):
    other = visitor().enter("이웃", "마당")
    me = visitor(viewport=PHONE, has_touch=True, is_mobile=True).enter_by_touch("나", "마당")
    other.say("하나")
    me.sees("하나")
    me.find("#open-people").tap()
    me.find("#drawer .person-line .more").tap()
    assert violations(me) == []
    me.find("dialog.menu [data-action=hide]").tap()
    me.find("#told .link").focus()  # what somebody is at stays
    expect(me.message("하나")).to_be_hidden()
    expect(me.find("#told .link")).to_be_in_viewport()
    me.find("#told .link").tap()
    expect(me.message("하나")).to_be_visible()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_is_told_stands_in_line_with_the_field_to_write_in(visitor, viewport):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("친구", "마당")
    me.find(".person-line", has_text="친구").locator(".more").click()
    me.find("[data-action=hide]").click()
    me.find("#told .link").focus()  # what somebody is at stays
    me.page.set_viewport_size(viewport)
    me.settles()
    notice, field = me.find("#told .notice").bounding_box(), me.find(".composer-box").bounding_box()
    assert (notice["x"], notice["width"]) == (field["x"], field["width"])


def test_what_is_in_a_menu_stays_text(visitor):
    markup = "<img src=x onerror=alert(1)>"
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor().enter("<b>굵은</b>", "마당")
    other.say(markup)
    message_menu(me, markup)
    expect(me.find(".menu-title")).to_have_text(f"<b>굵은</b>: {markup}")
    choose(me, "hide")
    me.find("#told .link").hover()  # what somebody points at stays
    me.was_told("<b>굵은</b>님을 숨겼습니다")
    expect(me.find("#told b")).to_have_count(0)
    me.find("#open-settings").click()
    expect(me.find(".hidden-people bdi")).to_have_text("<b>굵은</b>")
    expect(me.find("dialog img, dialog b")).to_have_count(0)


@pytest.mark.parametrize("server_options", [("--guests",)])
def test_a_guest_is_marked_in_menus_whispers_and_lists(member):  # noqa: F811
    account, guest = sign_in(member(viewport=DESKTOP)), member(viewport=DESKTOP)
    account.create_or_join("마당")
    guest.find("#other-way-button").click()
    guest.find("#name").fill("손")
    guest.find("#enter").click()
    guest.is_connected()
    guest.find("#others button").click()
    guest.is_in("마당")
    guest.say("안녕하세요")
    message_menu(account, "안녕하세요")
    expect(account.find(".menu-title .guest")).to_have_text("손님")
    account.page.keyboard.press("Escape")
    guest.whisper_to("길동")
    guest.say("저예요")
    account.open("손")
    expect(account.find("#place-mark")).to_have_text("손님")
    expect(account.find("#whispers .guest")).to_have_text("손님")
    account.find("#place-more").click()
    expect(account.find(".menu-title .guest")).to_have_text("손님")
    account.page.keyboard.press("Escape")
    account.find("#joined button").click()
    person_menu(account, "손")
    expect(account.find(".menu-title .guest")).to_have_text("손님")
    choose(account, "hide")
    account.find("#open-settings").click()
    expect(account.find(".hidden-people .guest")).to_have_text("손님")
    account.page.keyboard.press("Escape")
    guest.open("길동")
    expect(guest.find("#place-mark")).to_be_empty()


def test_where_names_have_no_owners_nothing_is_offered_that_only_moderators_may(visitor):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor().enter("이웃", "마당")
    other.say("하나")
    assert offered(message_menu(me, "하나")) == ["copy", "link", "mention", "whisper", "hide"]
    me.page.keyboard.press("Escape")
    me.say("둘")
    assert offered(message_menu(me, "둘")) == ["copy", "link"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced", [False, True], ids=["colours", "forced-colours"])
def test_axe_finds_nothing_in_menus_and_notices(visitor, scheme, forced):
    options = {"forced_colors": "active"} if forced else {}
    me, other = visitor(viewport=DESKTOP, color_scheme=scheme, reduced_motion="reduce", **options).enter("나", "마당"), visitor().enter("이웃", "마당")
    other.say("하나")
    message_menu(me, "하나")
    assert violations(me) == []
    me.page.keyboard.press("Escape")
    person_menu(me, "이웃")
    assert violations(me) == []
    choose(me, "hide")
    me.find("#told .link").focus()  # what somebody is at stays
    me.was_told("숨겼습니다")
    assert violations(me) == []
