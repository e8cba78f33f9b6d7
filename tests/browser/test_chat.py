"""The chat page, used as visitors use it."""

import re

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import CUT, REFUSED, Visitor

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# What a window of 1280 × 800 pixels shows at 200 %.
ZOOMED = {"width": 640, "height": 400}

# Talking


def test_two_pages_chat_and_see_each_other(visitor):
    gildong, younghee = visitor().enter("홍길동", "기술"), visitor().enter("영희", "기술")
    expect(gildong.find("#persons")).to_contain_text("영희")
    expect(younghee.find("#persons")).to_contain_text("홍길동")
    gildong.say("안녕하세요!")
    younghee.say("반갑습니다")
    for page in (gildong, younghee):
        page.sees_in_order(["안녕하세요!", "반갑습니다"])
    expect(gildong.find(".message.mine")).to_have_count(1)
    expect(younghee.find(".message:not(.mine) .by")).to_have_text("홍길동")
    younghee.find("#sign-out").click()
    expect(gildong.find("#persons")).not_to_contain_text("영희")
    expect(gildong.find("#people-count")).to_have_text("1")
    expect(gildong.find(".presence").last).to_have_text("영희님이 나갔습니다")


def test_a_newcomer_reads_what_was_said_before_under_its_day(visitor):
    first = visitor().enter("먼저", "기록")
    for word in ("하나", "둘", "셋"):
        first.say(word)
    later = visitor().enter("나중", "기록")
    later.sees_in_order(["하나", "둘", "셋"])
    expect(later.find(".day")).to_have_count(1)
    expect(later.find("#joined .badge:visible")).to_have_count(0)


def test_unread_messages_are_counted_until_they_are_read(visitor):
    reader, writer = visitor().enter("독자", "하나"), visitor().enter("작가", "하나")
    reader.create_or_join("둘")
    writer.say("첫째 글")
    writer.say("둘째 글")
    expect(reader.find("#joined .badge:visible")).to_contain_text("2")
    expect(reader.page).to_have_title(re.compile(r"^\(2\) "))
    reader.open("하나")
    reader.sees_in_order(["첫째 글", "둘째 글"])
    expect(reader.find(".unread-mark")).to_have_count(1)
    expect(reader.find("#joined .badge:visible")).to_have_count(0)
    expect(reader.page).not_to_have_title(re.compile(r"^\("))


def test_several_rooms_are_kept_apart_and_a_draft_waits_in_its_room(visitor):
    one = visitor().enter("한사람", "하나")
    one.say("하나의 글")
    one.create_or_join("둘")
    one.say("둘의 글")
    one.find("#text").fill("아직 쓰는 중")
    one.open("하나")
    one.sees_in_order(["하나의 글"])
    expect(one.find("#text")).to_have_value("")
    one.open("둘")
    expect(one.find("#text")).to_have_value("아직 쓰는 중")
    one.find("#leave").click()
    expect(one.find("#place")).to_have_text("하나")
    expect(one.find("#others button")).to_contain_text("둘")


def test_a_visitor_who_reloads_the_page_is_back_in_their_rooms(visitor):
    one = visitor().enter("한사람", "하나")
    one.create_or_join("둘")
    one.say("여기 있습니다")
    one.page.reload()
    one.is_in("둘")
    one.sees("여기 있습니다")
    expect(one.find("#joined li")).to_have_count(2)


def test_a_link_presets_the_name_and_the_room(visitor, server):
    one = visitor(f"{server.url}/?room=기술&username=손님")
    one.page.goto(one.url)
    expect(one.find("#name")).to_have_value("손님")
    expect(one.find("#entry-room")).to_contain_text("기술")
    one.find("#enter").click()
    one.is_in("기술")


def test_the_name_is_remembered_for_the_next_visit(visitor):
    one = visitor().enter("단골")
    one.find("#sign-out").click()
    one.page.reload()
    expect(one.find("#name")).to_have_value("단골")


# Rooms


def test_a_room_with_a_limit_refuses_the_third_visitor_kindly_until_a_seat_is_free(visitor):
    host, guest, third = visitor().enter("주인"), visitor().enter("손님"), visitor().enter("셋째")
    host.create("다실", 2)
    host.is_in("다실")
    guest.create_or_join("다실")
    third.create("다실")
    third.expects(*REFUSED)
    guest.expects(*REFUSED)
    third.find("#join-existing").click()
    expect(third.find("#blank")).to_contain_text("방이 가득 찼습니다")
    expect(third.find("#composer")).to_be_hidden()
    guest.find("#leave").click()
    expect(host.find("#people-count")).to_have_text("1")
    third.page.get_by_role("button", name="다시 들어가기").click()
    third.is_in("다실")
    expect(third.find("#seats")).to_contain_text("2 / 2명")


@pytest.mark.parametrize("server_options", [("--connections-per-user", "1")])
def test_one_connection_too_many_of_a_name_waits_and_is_told_why(visitor):
    one = visitor().enter("한사람")
    other = Visitor(one.page.context.new_page(), one.url)
    other.page.goto(other.url)
    other.find("#name").fill("한사람")
    other.find("#enter").click()
    expect(other.find("#entry-error")).to_contain_text("같은 이름으로 열린 연결이 너무 많습니다")
    one.page.goto("about:blank")
    other.is_connected()


def test_a_room_that_exists_or_is_invalid_is_refused_with_the_reason(visitor):
    one = visitor().enter("한사람", "하나").expects(*REFUSED)
    one.create("하나")
    expect(one.find("#create-error")).to_have_text("같은 이름의 방이 이미 있습니다.")
    one.find("#room-name").fill("둘")
    for limit in ("0", "1000001", ""):
        one.find("#room-limit").fill(limit)
        one.find("#create-form [type=submit]").click()
        expect(one.find("#create-error")).to_contain_text("정원은 1에서 1,000,000")
    one.find("#room-limit").fill("3")
    one.find("#room-name").fill("가" * 65)
    one.find("#create-form [type=submit]").click()
    expect(one.find("#create-error")).to_contain_text("1–64자")
    one.page.keyboard.press("Escape")
    expect(one.find("#create")).to_be_hidden()


def test_other_rooms_are_listed_and_entered_with_a_click(visitor):
    host, guest = visitor().enter("주인"), visitor()
    host.create("넓은 방", 7)
    host.is_in("넓은 방")
    guest.enter("손님")
    place = guest.find("#others button")
    expect(place).to_contain_text("넓은 방")
    expect(place).to_contain_text("1 / 7명")
    place.click()
    guest.is_in("넓은 방")


@pytest.mark.parametrize("name", ["admin", "나쁜\u0007이름"])
def test_a_name_that_is_taken_or_impossible_is_refused_with_the_reason(visitor, name):
    one = visitor()
    one.page.goto(one.url)
    one.find("#name").fill(name)
    one.find("#enter").click()
    expect(one.find("#entry-error")).to_contain_text("그 이름으로는 들어올 수 없습니다")
    one.find("#name").fill("괜찮은 이름 + %20 &?#")
    one.find("#enter").click()
    one.is_connected()
    expect(one.find("#my-name")).to_have_text("괜찮은 이름 + %20 &?#")


def test_a_name_that_is_missing_or_too_long_is_not_even_sent(visitor):
    one = visitor()
    one.page.goto(one.url)
    one.find("#enter").click()
    expect(one.find("#entry-error")).to_have_text("이름을 적어 주세요.")
    one.find("#name").fill("😀" * 33)
    one.find("#enter").click()
    expect(one.find("#entry-error")).to_have_text("이름은 32자까지입니다.")
    one.find("#name").fill("😀" * 32)
    one.find("#enter").click()
    one.is_connected()


# Whispers


def test_a_whisper_reaches_only_its_target(visitor):
    me, friend, stranger = (visitor().enter(name, "광장") for name in ("나그네", "친구", "남"))
    me.whisper_to("친구")
    me.say("우리끼리 비밀")
    expect(friend.find("#whispers .badge:visible")).to_contain_text("1")
    expect(friend.page).to_have_title(re.compile(r"^\(1\) "))
    friend.open("나그네")
    friend.sees("우리끼리 비밀")
    expect(friend.find("#private")).to_be_visible()
    friend.say("알겠어요")
    me.sees_in_order(["우리끼리 비밀", "알겠어요"])
    me.open("광장")
    me.say("모두에게")
    stranger.sees_in_order(["모두에게"])
    expect(stranger.find("#whispers li")).to_have_count(0)
    friend.open("광장")
    friend.sees_in_order(["모두에게"])


def test_a_whisper_to_someone_who_left_can_be_sent_again_when_they_are_back(visitor, server):
    me, friend = visitor().enter("나그네", "광장"), visitor().enter("친구", "광장")
    me.whisper_to("친구")
    friend.find("#sign-out").click()
    server.has_room("광장", users=1)
    me.write("어디 갔어요?")
    expect(me.find(".failed .progress")).to_contain_text("지금 자리에 없는 사람입니다")
    friend.find("#enter").click()
    friend.is_connected()
    me.page.get_by_role("button", name="다시 보내기").click()
    expect(me.find(".failed")).to_have_count(0)
    friend.open("나그네")
    friend.sees("어디 갔어요?")
    me.sees("어디 갔어요?")


# Text that looks like markup


def test_markup_in_names_rooms_and_messages_stays_text(visitor):
    markup = "<img src=x onerror=alert(1)>"
    one, two = visitor().enter("<b>굵은</b>", markup), visitor().enter("보통", markup)
    one.say(markup + "<script>document.title='x'</script>")
    two.sees(markup)
    expect(two.find("#place")).to_have_text(markup)
    expect(two.find(".by:not(.unseen)")).to_have_text("<b>굵은</b>")
    two.whisper_to("<b>굵은</b>")
    two.say("<i>귓속말</i>")
    one.open("보통")
    one.sees("<i>귓속말</i>")
    for page in (one, two):
        expect(page.find("img, .messages b, .messages i, #whispers b, .messages script")).to_have_count(0)


def test_only_web_addresses_become_links(visitor):
    one = visitor().enter("한사람", "링크")
    one.say("(https://example.org/a_(b)?c=1), javascript:alert(1) http://[ ftp://example.org")
    link = one.find(".bubble a")
    expect(link).to_have_count(1)
    expect(link).to_have_attribute("href", "https://example.org/a_(b)?c=1")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(link).to_have_attribute("target", "_blank")


def test_enter_sends_shift_enter_breaks_the_line_and_composing_does_neither(visitor):
    one = visitor().enter("한사람", "자판")
    text = one.find("#text")
    text.press_sequentially("첫 줄")
    text.press("Shift+Enter")
    text.press_sequentially("둘째 줄")
    # The Enter key that ends a composition of an input method, as Chromium and as Safari report it.
    text.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True})
    text.evaluate("(e) => { const k = new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, bubbles: true, cancelable: true}); e.dispatchEvent(k); }")
    expect(text).to_have_value("첫 줄\n둘째 줄")
    text.press("Enter")
    one.sees_in_order(["첫 줄\n둘째 줄"])
    text.press("Enter")
    expect(one.find(".bubble")).to_have_count(1)


def test_a_message_over_the_limit_is_counted_in_characters_and_not_sent(visitor):
    one = visitor().enter("한사람", "길이")
    one.find("#text").fill("😀" * 4097)
    expect(one.find("#counter")).to_have_text("1자 넘음")
    one.find("#text").press("Enter")
    one.was_told("1자 넘음")
    expect(one.find(".bubble")).to_have_count(0)
    one.find("#text").fill("😀" * 4096)
    expect(one.find("#counter")).to_have_text("0자 남음")
    one.find("#text").press("Enter")
    one.sees("😀")
    expect(one.find(".outgoing li")).to_have_count(0)


@pytest.mark.parametrize("server_options", [("--content-chars", "10")])
def test_what_the_server_refuses_is_marked_and_can_be_removed(visitor):
    one = visitor().enter("한사람", "길이")
    one.write("열 글자보다 훨씬 더 긴 글입니다")
    expect(one.find(".failed .progress")).to_contain_text("글이 너무 깁니다")
    one.page.get_by_role("button", name="지우기").click()
    expect(one.find(".bubble")).to_have_count(0)


# Reading

# A writer faster than a person: sarang.js without the page.
WRITE_MANY = """async ([room, from, to]) => {
  const { Sarang } = await import('/static/sarang.js');
  const url = `ws://${location.host}/ws?username=` + encodeURIComponent('빠른 손');
  const chat = new Sarang({ url, queueMax: 1000 });
  await new Promise((resolve) => { chat.addEventListener('room_joined', resolve); chat.join(room); });
  let left = to - from;
  const done = new Promise((resolve) => chat.addEventListener('message', () => { if (!--left) resolve(); }));
  for (let n = from; n < to; n += 1) chat.say(room, `글 ${n}.`);
  await done;
  chat.close();
}"""


def test_new_messages_do_not_pull_a_reader_down_but_offer_to(visitor):
    reader, writer = visitor(viewport=DESKTOP).enter("독자", "긴 방"), visitor().enter("작가")
    writer.page.evaluate(WRITE_MANY, ["긴 방", 0, 40])
    reader.sees("글 39.")
    reader.find(".log").hover()
    reader.page.mouse.wheel(0, -10_000)
    expect(reader.message("글 0.")).to_be_in_viewport()
    writer.page.evaluate(WRITE_MANY, ["긴 방", 40, 43])
    expect(reader.find("#newer")).to_contain_text("새 메시지 3개")
    expect(reader.message("글 0.")).to_be_in_viewport()
    expect(reader.page).to_have_title(re.compile(r"^\(3\) "))
    reader.find("#newer").click()
    expect(reader.message("글 42.")).to_be_in_viewport()
    expect(reader.find("#newer")).to_be_hidden()
    expect(reader.page).not_to_have_title(re.compile(r"^\("))


@pytest.mark.parametrize("server_options", [("--messages-per-second", "0")])
def test_no_more_than_500_messages_are_kept_on_the_page(visitor):
    reader, writer = visitor(viewport=DESKTOP).enter("독자", "긴 방"), visitor().enter("작가")
    writer.page.evaluate(WRITE_MANY, ["긴 방", 0, 620])
    reader.sees("글 619.")
    expect(reader.find(".messages .bubble")).to_have_count(500)
    expect(reader.message("글 619.")).to_be_in_viewport()
    expect(reader.find(".messages > li").first).to_have_class(re.compile("day"))
    assert reader.find(".messages .bubble").all_inner_texts() == [f"글 {n}." for n in range(120, 620)]


# Many users at once: 201 connections of sarang.js.
CROWD = """async ([room, from, to]) => {
  const { Sarang } = await import('/static/sarang.js');
  window.crowd ??= [];
  await Promise.all(Array.from({ length: to - from }, (_, n) => new Promise((resolve) => {
    const chat = new Sarang({ url: `ws://${location.host}/ws?username=person-${from + n}` });
    chat.addEventListener('room_joined', resolve);
    chat.join(room);
    crowd.push(chat);
  })));
}"""


def test_in_a_crowd_the_number_of_people_stays_true(visitor):
    one, host = visitor().enter("한사람"), visitor().enter("주인")
    one.create("광장", 1000)
    one.is_in("광장")
    host.page.evaluate(CROWD, ["광장", 0, 210])
    expect(one.find("#people-count")).to_have_text("211")
    expect(one.find("#people-note")).to_contain_text("외 ")
    host.page.evaluate("crowd.splice(0, 5).forEach((chat) => chat.close())")
    expect(one.find("#people-count")).to_have_text("206")
    host.page.evaluate("crowd.forEach((chat) => chat.close())")
    expect(one.find("#people-count")).to_have_text("1")


# Broken connections


def test_after_a_restart_of_the_server_what_was_written_offline_arrives_once(visitor, server):
    one, two = visitor().enter("하나", "방").expects(*CUT), visitor().enter("둘", "방").expects(*CUT)
    one.say("끊기기 전")
    server.kill()
    for page in (one, two):
        expect(page.find("#state")).to_have_class("state is-reconnecting")
        expect(page.find("#state")).to_have_text("다시 연결하는 중")
        expect(page.find("#banner")).to_contain_text("연결이 끊겼습니다")
    one.write("끊긴 동안 1")
    one.write("끊긴 동안 2")
    expect(one.find(".outgoing .pending")).to_have_count(2)
    expect(one.find(".outgoing .progress").first).to_have_text("연결되면 보냅니다")
    server.start()
    one.hurries()
    for page in (one, two):
        page.is_connected()
        expect(page.find("#banner")).to_be_hidden()
        page.sees("끊긴 동안 1")
        page.sees("끊긴 동안 2")
    expect(one.find(".outgoing li")).to_have_count(0)
    # The history was in memory only: the page keeps its messages and says that there may be a gap.
    one.sees_in_order(["끊기기 전", "끊긴 동안 1", "끊긴 동안 2"])
    expect(one.find(".gap")).to_have_count(1)
    newcomer = visitor().enter("셋", "방")
    newcomer.sees_in_order(["끊긴 동안 1", "끊긴 동안 2"])


def test_the_time_to_the_next_attempt_is_shown_and_need_not_be_waited_for(visitor, server):
    one = visitor().expects(*CUT)
    one.page.add_init_script("Math.random = () => 180")  # the first wait becomes 90 s
    one.enter("하나", "방")
    server.kill()
    expect(one.find("#banner-time")).to_have_text(re.compile("^[1-9]?[0-9]초 뒤 다시 연결합니다"))
    server.start()
    one.page.get_by_role("button", name="지금 연결").click()
    one.is_connected()
    expect(one.find("#banner")).to_be_hidden()


def test_a_cut_connection_resumes_without_a_lost_or_doubled_message(visitor, proxy):
    one, two = visitor(proxy.url).enter("하나", "방").expects(*CUT), visitor().enter("둘", "방")
    one.say("글 1")
    two.say("글 2")
    one.sees("글 2")
    for n in range(3, 12, 3):
        proxy.is_open = False
        proxy.cut()
        expect(one.find("#state")).to_have_class("state is-reconnecting")
        one.write(f"글 {n + 1}")
        two.say(f"글 {n}")
        proxy.is_open = True
        one.hurries()
        one.is_connected()
        two.sees(f"글 {n + 1}")
        two.say(f"글 {n + 2}")
        one.sees(f"글 {n + 2}")
    expected = [re.compile(f"^글 {n}$") for n in range(1, 12) if n != 12]
    one.sees_in_order(expected)
    two.sees_in_order(expected)
    expect(one.find(".gap")).to_have_count(0)
    expect(one.find(".outgoing li")).to_have_count(0)


def test_a_message_whose_acknowledgement_got_lost_is_not_said_twice(visitor, proxy):
    one, two = visitor(proxy.url).enter("하나", "방").expects(*CUT), visitor().enter("둘", "방")
    proxy.answers = False
    one.write("한 번만")
    two.sees("한 번만")
    expect(one.find(".outgoing .pending")).to_have_count(1)
    proxy.answers = True
    proxy.cut()
    one.is_connected()
    expect(one.find(".outgoing li")).to_have_count(0)
    one.say("그 다음")
    for page in (one, two):
        page.sees_in_order(["한 번만", "그 다음"])


def test_a_whisper_whose_acknowledgement_got_lost_is_not_said_twice(visitor, proxy):
    one, two = visitor(proxy.url).enter("하나", "방").expects(*CUT), visitor().enter("둘", "방")
    one.whisper_to("둘")
    proxy.answers = False
    one.write("한 번만")
    expect(two.find("#whispers .badge:visible")).to_contain_text("1")
    proxy.answers = True
    proxy.cut()
    one.is_connected()
    expect(one.find(".outgoing .pending")).to_have_count(0)
    one.say("그 다음")
    two.open("하나")
    for page in (one, two):
        page.sees_in_order(["한 번만", "그 다음"])


def test_a_room_that_filled_up_meanwhile_says_so(visitor, server, proxy):
    host = visitor(proxy.url).enter("주인").expects(*CUT)
    host.create("다실", 1)
    host.is_in("다실")
    proxy.is_open = False
    proxy.cut()
    expect(host.find("#state")).to_have_class("state is-reconnecting")
    host.write("자리 있나요")
    server.has_room("다실", users=0)
    other = visitor().enter("손님")
    other.find("#others button").click()
    other.is_in("다실")
    proxy.is_open = True
    host.hurries()
    host.is_connected()
    expect(host.find("#out")).to_contain_text("방이 가득 찼습니다")
    expect(host.find("#composer")).to_be_hidden()
    expect(host.find(".failed .progress")).to_contain_text("방이 가득 찼습니다")
    other.find("#leave").click()
    server.has_room("다실", users=0)
    host.page.get_by_role("button", name="다시 들어가기").click()
    host.is_in("다실")
    host.page.get_by_role("button", name="다시 보내기").click()
    host.sees_in_order(["자리 있나요"])


# Languages, colour schemes, screen sizes


@pytest.mark.parametrize("locale, lang, title, enter, connected", [
    ("ko-KR", "ko", "사랑방", "들어가기", "연결됨"),
    ("en-GB", "en", "Sarangbang", "Come in", "Connected"),
    ("fr-FR", "en", "Sarangbang", "Come in", "Connected"),
    ("kok", "en", "Sarangbang", "Come in", "Connected"),
])
def test_the_page_speaks_korean_and_english(visitor, locale, lang, title, enter, connected):
    one = visitor(locale=locale)
    one.page.goto(one.url)
    expect(one.page.locator("html")).to_have_attribute("lang", lang)
    expect(one.page).to_have_title(title)
    expect(one.find("#enter")).to_have_text(enter)
    one.find("#name").fill("someone")
    one.find("#enter").click()
    expect(one.find("#state")).to_have_text(connected)


def test_english_visitors_get_errors_in_english(visitor):
    one = visitor(locale="en-US").enter("someone", "tea").expects(*REFUSED)
    one.create("tea")
    expect(one.find("#create-error")).to_have_text("A room of that name is open already.")


def test_the_page_follows_the_colour_scheme_of_the_system(visitor):
    brightness = "() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number); return (r + g + b) / 3; }"
    bright, dark = visitor(color_scheme="light"), visitor(color_scheme="dark")
    for one in (bright, dark):
        one.page.goto(one.url)
    assert bright.page.evaluate(brightness) > 200
    assert dark.page.evaluate(brightness) < 60


def fits(one):
    return one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [320, 360])
def test_everything_can_be_reached_on_a_phone(visitor, width):
    other = visitor().enter("친구", "아주 긴 이름을 가진 방이라서 한 줄에 다 들어가지 않는 방")
    one = visitor(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    one.page.goto(one.url)
    assert fits(one)
    one.find("#name").fill("이름도 참으로 길어서 다 보이지 않는 손님")
    one.find("#enter").tap()
    one.is_connected()
    one.page.get_by_role("button", name="방 둘러보기").tap()
    one.find("#drawer #others button").tap()
    expect(one.find("#drawer")).to_be_hidden()
    expect(one.find("#seats")).to_contain_text("2 / 100명")
    other.say("https://example.org/" + "아주긴주소" * 30)
    one.sees("아주긴주소")
    assert fits(one)
    one.find("#text").fill("전화기에서 씁니다")
    one.find("#send").tap()
    other.sees("전화기에서 씁니다")
    one.find("#open-people").tap()
    one.find("#drawer #persons button.person").tap()
    expect(one.find("#private")).to_be_visible()
    one.find("#text").fill("귓속말도요")
    one.find("#send").tap()
    one.sees("귓속말도요")
    assert fits(one)
    other.say("또 한마디")
    expect(one.find("#unread-all")).to_contain_text("1")
    one.find("#open-rooms").tap()
    assert fits(one)
    one.page.keyboard.press("Escape")
    expect(one.find("#drawer")).to_be_hidden()
    expect(one.find("#open-rooms")).to_be_focused()
    one.find("#open-rooms").tap()
    one.find("#drawer #create-room").tap()
    one.find("#room-name").fill("새 방")
    one.find("#create-form [type=submit]").tap()
    expect(one.find("#place")).to_have_text("새 방")
    one.find("#leave").tap()
    expect(one.find("#place")).not_to_have_text("새 방")
    one.find("#open-rooms").tap()
    one.find("#drawer #sign-out").tap()
    expect(one.find("#name")).to_be_visible()


def test_everything_works_by_keyboard_alone(visitor):
    other = visitor().enter("친구", "찻집")
    one = visitor(viewport=DESKTOP)
    one.page.goto(one.url)
    keyboard = one.page.keyboard

    def tab_to(locator):
        for _ in range(30):
            if locator.evaluate("(e) => e === document.activeElement"):
                return
            keyboard.press("Tab")
        raise AssertionError(f"{locator} is not reached with Tab")

    expect(one.find("#name")).to_be_focused()
    keyboard.type("키보드")
    keyboard.press("Enter")
    one.is_connected()
    expect(one.find("#others button")).to_be_visible()
    tab_to(one.find("#others button"))
    keyboard.press("Enter")
    one.is_in("찻집")
    expect(one.find("#text")).to_be_focused()
    keyboard.type("손을 떼지 않고")
    keyboard.press("Enter")
    other.sees("손을 떼지 않고")
    tab_to(one.find("#persons button.person"))
    keyboard.press("Enter")
    expect(one.find("#text")).to_be_focused()
    keyboard.type("귓속말")
    keyboard.press("Enter")
    expect(other.find("#whispers .badge:visible")).to_contain_text("1")
    tab_to(one.find("#skip"))
    expect(one.find("#skip")).to_be_in_viewport()
    keyboard.press("Enter")
    expect(one.find("#text")).to_be_focused()
    tab_to(one.find("#create-room"))
    keyboard.press("Enter")
    expect(one.find("#room-name")).to_be_focused()
    keyboard.press("Escape")
    expect(one.find("#create-room")).to_be_focused()
    tab_to(one.find("#leave"))
    keyboard.press("Enter")
    expect(one.find("#place")).to_have_text("찻집")


@pytest.mark.parametrize(
    ("viewport", "colours"),
    [(DESKTOP, {"color_scheme": "light"}), (DESKTOP, {"color_scheme": "dark"}), (DESKTOP, {"forced_colors": "active"}), (PHONE, {"color_scheme": "light"}),
     (PHONE, {"color_scheme": "dark"}), (ZOOMED, {"color_scheme": "light"})],
    ids=["light", "dark", "forced colours", "phone, light", "phone, dark", "200 %"])
def test_axe_finds_nothing(visitor, server, viewport, colours):
    friend = visitor().enter("친구", "찻집")
    friend.say("어서 오세요 https://example.org/")
    one = visitor(viewport=viewport, reduced_motion="reduce", **colours).expects(*CUT)
    one.page.goto(one.url)
    one.find("#enter").click()
    expect(one.find("#entry-error")).not_to_be_empty()
    assert violations(one) == []
    one.find("#name").fill("손님")
    one.find("#enter").click()
    one.is_connected()
    assert violations(one) == []
    is_narrow = viewport is not DESKTOP

    def in_drawer(opener):
        if is_narrow:
            one.find(opener).click()
            assert violations(one) == []

    in_drawer("#open-rooms")
    one.find("#create-room").click()
    one.find("#room-limit").fill("0")
    one.find("#room-name").fill("찻집 둘")
    one.find("#create-form [type=submit]").click()
    assert violations(one) == []
    one.page.keyboard.press("Escape")
    in_drawer("#open-rooms")
    one.find("#others button").click()
    one.sees("어서 오세요")
    one.say("고맙습니다")
    friend.whisper_to("손님")
    friend.say("따로 한 말씀")
    friend.expects(*CUT)
    assert violations(one) == []
    in_drawer("#open-people")
    if is_narrow:
        one.page.keyboard.press("Escape")
        one.find("#open-rooms").click()
    one.open("친구")
    one.say("네")
    assert violations(one) == []
    server.kill()
    expect(one.find("#banner")).to_be_visible()
    one.write("끊긴 동안")
    expect(one.find(".pending")).to_have_count(1)
    assert violations(one) == []
