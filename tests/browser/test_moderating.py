"""What moderators do in the page, and that nobody else is offered it."""

import json
import subprocess
import urllib.request
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import BIN
from test_chat import DESKTOP, PHONE, fits
from test_people import choose, message_menu, offered, person_menu
from test_sign_in import PASSWORD, configured, member, sign_in  # noqa: F401
from test_sign_in import users as accounts  # noqa: F401

SPAM = "광고를 올려서"
NARROW = {"width": 320, "height": 640}


@pytest.fixture
def server_options():
    return ("--guests",)


@pytest.fixture
def users(accounts):  # noqa: F811
    """One of them may moderate."""
    command = [BIN, "user", "add", "방장", "--admin", "--users", accounts.path]
    subprocess.run(command, input=PASSWORD + "\n", text=True, check=True, capture_output=True)
    return accounts


@pytest.fixture
def moderator(member):  # noqa: F811
    """Signs in somebody who may moderate."""

    def make(room="마당", viewport=DESKTOP, **options):
        one = member(viewport=viewport, **options)
        one.page.goto(f"{one.url}/?room={room}")
        sign_in(one, "방장")
        return one

    return make


@pytest.fixture
def guest(member):  # noqa: F811
    def make(name="손", room="마당"):
        one = member(viewport=DESKTOP)
        one.page.goto(f"{one.url}/?room={room}")
        one.find("#other-way-button").click()
        one.find("#name").fill(name)
        one.find("#enter").click()
        one.is_connected()
        return one

    return make


def asks(server, who, method, path, **body):
    """Somebody asks for something without a page."""

    def answer(method, path, body, **headers):
        data = json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/{path}", data, {"Content-Type": "application/json", **headers}, method=method)) as response:
            return json.load(response)

    token = answer("POST", "auth/login", {"username": who, "password": PASSWORD})["access_token"]
    return answer(method, path, body, Authorization=f"Bearer {token}")


@pytest.fixture
def room(configured):  # noqa: F811
    """The room is there already: only people who signed in make rooms."""
    asks(configured, "길동", "POST", "rooms", name="마당")
    return "마당"


def dialog(one):
    return one.find("dialog.sheet[open]")


def confirm(one):
    dialog(one).locator("[type=submit]").click()
    expect(dialog(one)).to_have_count(0)


def all_fits(one):
    """Neither the page nor what is open scrolls sideways."""
    return fits(one) and one.find("dialog[open]").evaluate_all("(all) => all.every(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)")


def place_menu(one):
    one.find("#place-more").click()
    expect(one.find("dialog.menu")).to_be_visible()
    return one


def test_a_moderator_deletes_a_message_after_a_question(moderator, guest, room):
    boss, spammer = moderator(), guest()
    spammer.say("싸게 팝니다")
    choose(message_menu(boss, "싸게"), "delete")
    expect(dialog(boss)).to_contain_text("싸게 팝니다")
    boss.page.keyboard.press("Escape")
    boss.sees("싸게 팝니다")
    choose(message_menu(boss, "싸게"), "delete")
    confirm(boss)
    boss.was_told("메시지를 삭제했습니다")
    for page in (boss, spammer):
        expect(page.find(".message .deleted")).to_have_text("삭제된 메시지")
        expect(page.find(".messages .bubble")).to_have_count(0)


def test_a_moderator_puts_somebody_out_of_a_room_and_out_of_all_of_them_with_a_reason(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(person_menu(boss, "손"), "kick-room")
    dialog(boss).locator("input").fill(SPAM)
    other.find("#text").focus()
    other.noting("#spoken")
    confirm(boss)
    boss.was_told("손님을 내보냈습니다")
    expect(other.find("#blank-text")).to_contain_text(SPAM)
    expect(other.find("#place")).to_be_focused()
    other.has_noted("#spoken", SPAM)
    expect(boss.find("#persons")).not_to_contain_text("손님 메뉴")
    other.page.get_by_role("button", name="다시 들어가기").click()
    other.is_in("마당")
    choose(person_menu(boss, "손"), "kick")
    dialog(boss).locator("input").fill("쉬었다 오세요")
    confirm(boss)
    expect(other.find("#banner-text")).to_contain_text("관리자가 내보냈습니다")
    expect(other.find("#banner-text")).to_contain_text("쉬었다 오세요")


def test_a_ban_has_a_place_a_reason_and_an_end_and_is_undone_at_once(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(person_menu(boss, "손"), "ban")
    dialog(boss).locator("select").select_option("600")
    dialog(boss).locator(".field input:visible").fill(SPAM)
    confirm(boss)
    boss.find("#told .link").hover()  # what somebody points at stays
    boss.was_told("막았습니다")
    expect(other.find("#blank-text")).to_contain_text("관리자가 이 방에 들어오지 못하게 막았습니다.")
    expect(other.find("#blank-text")).to_contain_text(SPAM)
    expect(other.find("#blank-text")).to_contain_text("까지입니다.")
    boss.find("#told .link").click()
    boss.was_told("풀었습니다")
    other.page.get_by_role("button", name="다시 들어가기").click()
    other.is_in("마당")


def test_whoever_is_banned_from_everywhere_is_listed_and_let_in_again(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(person_menu(boss, "손"), "ban")
    dialog(boss).get_by_label("모든 곳에서").click()
    dialog(boss).locator("select").select_option("endless")
    confirm(boss)
    expect(other.find("#banner-text")).to_contain_text("기한은 없습니다.")
    choose(place_menu(boss), "bans")
    expect(boss.find(".ban")).to_contain_text("모든 곳 · 기한 없이")
    expect(boss.find(".ban")).to_contain_text("방장")
    assert violations(boss) == []
    boss.find(".ban button").click()
    expect(boss.find(".ban")).to_have_count(0)
    expect(dialog(boss).get_by_role("status")).to_have_text("손님을 풀었습니다.")
    other.find("#banner-action").click()
    other.is_connected()
    boss.page.keyboard.press("Escape")
    choose(place_menu(boss), "bans")
    expect(dialog(boss)).to_contain_text("막은 사람이 없습니다.")


@pytest.mark.parametrize("end, is_good", [("2020-01-01T00:00", False), ("2999-01-01T00:00", False), ("", False), (None, True)])
def test_a_ban_may_end_at_a_time_of_ones_own(moderator, guest, room, end, is_good):
    boss, other = moderator(), guest()
    choose(person_menu(boss, "손"), "ban")
    dialog(boss).locator("select").select_option("date")
    time = dialog(boss).locator("input[type=datetime-local]")
    if end is not None:
        time.fill(end)
    dialog(boss).locator("[type=submit]").click()
    if is_good:
        boss.was_told("막았습니다")
    else:
        expect(dialog(boss).locator(".problem")).to_have_text("지금부터 10년 안의 때를 골라 주세요.")
        expect(time).to_be_focused()
        boss.page.keyboard.press("Escape")
        expect(boss.find("#persons")).to_contain_text("손")


def test_a_reason_that_is_too_long_is_not_sent(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(person_menu(boss, "손"), "kick-room")
    dialog(boss).locator("input").fill("😀" * 257)
    dialog(boss).locator("[type=submit]").click()
    expect(dialog(boss).locator(".problem")).to_have_text("이유는 256자까지입니다.")
    dialog(boss).locator("input").fill("😀" * 256)
    confirm(boss)


def test_what_the_server_refuses_is_told_in_the_dialog(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(person_menu(boss, "손"), "kick")
    other.find("#sign-out").click()
    expect(boss.find("#persons")).not_to_contain_text("손님 메뉴")
    dialog(boss).locator("[type=submit]").click()
    expect(dialog(boss).locator(".problem")).to_have_text("지금 자리에 없는 사람입니다.")
    expect(dialog(boss).locator("[type=submit]")).to_have_text("내보내기")


def test_a_moderator_changes_how_many_may_be_in_a_room_and_who_may_write(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(place_menu(boss), "rules")
    seats = dialog(boss).get_by_label("정원")
    expect(seats).to_have_value("100")
    seats.fill("0")
    dialog(boss).locator("[type=submit]").click()
    expect(dialog(boss).locator(".problem")).to_contain_text("1에서 1,000,000")
    seats.fill("7")
    dialog(boss).get_by_label("관리자만").click()
    confirm(boss)
    boss.was_told("방 설정을 바꾸었습니다")
    expect(boss.find("#seats")).to_contain_text("2 / 7명")
    other.write("저도 쓸래요")
    expect(other.find(".failed .progress")).to_contain_text("허락되지 않았습니다")
    choose(place_menu(boss), "rules")
    expect(dialog(boss).locator("input[value=moderators]")).to_be_checked()


def test_a_moderator_sees_and_changes_how_much_a_room_keeps(moderator, guest, room):
    boss, other = moderator(), guest()
    for number in range(3):
        other.say(f"글 {number}")

    def fields():
        choose(place_menu(boss), "rules")
        return dialog(boss).get_by_label("남기는 메시지 수"), dialog(boss).get_by_label("메시지를 남기는 기간")

    messages, term = fields()
    expect(messages).to_have_value("1000")
    expect(term).to_have_value("")
    for wrong in ("1001", "-1", "1.5", ""):
        messages.fill(wrong)
        dialog(boss).locator("[type=submit]").click()
        expect(dialog(boss).locator(".problem")).to_contain_text("0에서 1,000 사이")
        expect(messages).to_be_focused()
    messages.fill("2")
    term.select_option(label="7일")
    confirm(boss)
    messages, term = fields()
    expect(messages).to_have_value("2")
    expect(term).to_have_value("604800")
    boss.page.keyboard.press("Escape")
    late = guest("늦은 손")
    late.sees_in_order(["글 1", "글 2"])


def test_a_term_that_a_back_end_has_set_is_shown_and_stays_and_can_be_taken_away(moderator, room, configured):  # noqa: F811
    asks(configured, "방장", "PATCH", f"rooms/{quote(room)}", history_seconds=5400)
    boss = moderator(locale="en-GB")

    def term():
        choose(place_menu(boss), "rules")
        return dialog(boss).get_by_label("How long they are kept")

    expect(term().locator("option:checked")).to_have_text("90 minutes")
    confirm(boss)
    term().select_option(label="No end")
    confirm(boss)
    expect(term()).to_have_value("")


def test_a_moderator_closes_a_room(moderator, guest, room):
    boss, other = moderator(), guest()
    other.say("안녕하세요")
    choose(place_menu(boss), "remove-room")
    expect(dialog(boss)).to_contain_text("되돌릴 수 없습니다")
    confirm(boss)
    boss.was_told("‘마당’ 방을 없앴습니다")
    expect(other.find("#out")).to_contain_text("관리자가 이 방을 없앴습니다")


def test_who_was_in_a_room_that_is_closed_is_not_told_they_could_not_enter(moderator, guest, room):
    boss, other = moderator(), guest()
    choose(place_menu(boss), "remove-room")
    confirm(boss)
    expect(other.find("#blank-title")).to_have_text("지금은 이 방에 들어와 있지 않습니다")
    expect(other.find("#blank-text")).to_have_text("관리자가 이 방을 없앴습니다.")


def test_nobody_else_is_offered_what_moderators_may(moderator, guest, room, member):  # noqa: F811
    boss, other = moderator(), guest()
    account = sign_in(member(viewport=DESKTOP))
    account.find("#others button").click()
    account.is_in("마당")
    boss.say("하나")
    for one in (other, account):
        assert not set(offered(message_menu(one, "하나"))) & {"delete", "kick", "kick-room", "ban"}
        one.page.keyboard.press("Escape")
    everything = offered(message_menu(boss, "하나"))
    assert everything[-1] == "delete" and "ban" not in everything  # nobody bans themselves
    boss.page.keyboard.press("Escape")
    other.say("둘")
    assert offered(message_menu(boss, "둘"))[-4:] == ["delete", "kick-room", "kick", "ban"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_axe_finds_nothing_in_what_moderators_see(moderator, guest, room, scheme, viewport):
    boss, other = moderator(viewport=viewport, color_scheme=scheme, reduced_motion="reduce"), guest()
    other.say("하나")
    boss.sees("하나")
    for action in ("delete", "kick-room", "ban"):
        message_menu(boss, "하나")
        assert violations(boss) == [] and all_fits(boss)
        choose(boss, action)
        expect(dialog(boss)).to_be_visible()
        if action == "ban":
            dialog(boss).locator("select").select_option("date")
        assert violations(boss) == [] and all_fits(boss)
        boss.page.keyboard.press("Escape")
        expect(dialog(boss)).to_have_count(0)
    for action in ("rules", "bans", "remove-room"):
        choose(place_menu(boss), action)
        expect(dialog(boss).locator(".actions button").last).to_be_in_viewport()
        assert violations(boss) == [] and all_fits(boss)
        boss.page.keyboard.press("Escape")
        expect(dialog(boss)).to_have_count(0)
