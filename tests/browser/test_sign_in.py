"""Signing in on the chat page: who may enter and how, what keeps a session alive, and what ends it."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import BIN, CUT, REFUSED, WAIT_MS, Server, Visitor
from test_chat import DESKTOP, PHONE, fits

PASSWORD = "솔숲 바람 7"


@pytest.fixture
def users(tmp_path):
    """The accounts file, kept with the server's own command."""

    class Users:
        path = tmp_path / "users"

        def add(self, name, password=PASSWORD):
            subprocess.run([BIN, "user", "add", name, "--users", self.path], input=password + "\n", text=True, check=True, capture_output=True)

        def remove(self, name):
            subprocess.run([BIN, "user", "remove", name, "--users", self.path], check=True, capture_output=True)

    users = Users()
    users.add("길동")
    users.add("영희")
    return users


@pytest.fixture
def configured(users, server_options):
    """A server with accounts, and without guests unless the test says so."""
    server = Server("--users", users.path, *server_options)
    yield server
    server.kill()


@pytest.fixture
def member(visitor, configured):
    """Makes visitors of the server with accounts, on its entry screen."""

    def make(**options):
        one = visitor(configured.url, **options)
        one.page.goto(one.url)
        return one

    return make


def fill(one, name, password):
    one.find("#account").fill(name)
    one.find("#password").fill(password)
    one.find("#sign-in").click()


def sign_in(one, name="길동", password=PASSWORD):
    fill(one, name, password)
    one.is_connected()
    expect(one.find("#my-name")).to_have_text(name)
    return one


def offers(one, guest, account):
    """Checks which of the two forms is shown, and whether the other is one click away."""
    expect(one.find("#entry-form")).to_be_visible(visible=guest == "form")
    expect(one.find("#sign-in-form")).to_be_visible(visible=account == "form")
    expect(one.find("#other-way-button")).to_be_visible(visible="click" in (guest, account))


def is_signed_out(one, reason, stored=None):
    expect(one.find("#entry-reason")).to_contain_text(reason)
    expect(one.find("#sign-in-form")).to_be_visible()
    expect(one.find("#house")).to_be_hidden()
    assert one.page.evaluate("localStorage.getItem('sarang.token')") == stored


def requests_to(one, path):
    """The requests to a path from now on, as they are made."""
    made = []
    one.page.on("request", lambda request: request.url.endswith(path) and made.append(request))
    return made


def sockets_of(one):
    """The addresses of the WebSockets the page opens from now on."""
    opened = []
    one.page.on("websocket", lambda socket: opened.append(socket.url))
    return opened


def frames_of(one):
    """The messages between the page and the server from now on: `(sender, message)`."""
    frames = []

    def listen(socket):
        socket.on("framesent", lambda data: frames.append(("page", json.loads(data))))
        socket.on("framereceived", lambda data: frames.append(("server", json.loads(data))))

    one.page.on("websocket", listen)
    return frames


def eventually(one, is_so):
    """Waits for a condition that events of the page change; they are received only while the page is being called."""
    until = time.monotonic() + 2 * WAIT_MS / 1000
    while not is_so():
        assert time.monotonic() < until, "it never came to that"
        one.page.evaluate("new Promise(requestAnimationFrame)")


# The banner's text, whether it and its button are hidden, and the state of the page at that time.
BANNER = """(banner) => [
  banner.textContent, banner.hidden, document.getElementById('banner-action').hidden, document.getElementById('state').className,
]"""

EXPIRED = "로그인 시간이 다 되어"
REFUSED_SESSION = "서버가 이 로그인을 더 받아들이지 않아"

# Entering


def test_the_demo_offers_the_guest_form_and_signing_in_is_one_click_away(visitor):
    one = visitor()
    one.page.goto(one.url)
    offers(one, guest="form", account="click")
    expect(one.find("#name")).to_be_focused()
    one.find("#other-way-button").click()
    offers(one, guest="click", account="form")
    expect(one.find("#demo-hint")).to_contain_text("admin / secret")
    expect(one.find("#account")).to_be_focused()
    sign_in(one, "admin", "secret")
    one.create_or_join("기술")
    one.say("관리자입니다")
    guest = visitor().enter("손님", "기술")
    guest.sees("관리자입니다")
    expect(guest.find(".by:not(.unseen)")).to_have_text("admin")


def test_with_accounts_only_there_is_only_the_sign_in_form(member):
    one = member()
    offers(one, guest=None, account="form")
    expect(one.find("#demo-hint")).to_be_empty()
    sign_in(one)
    one.create_or_join("우리 집")
    one.say("들어왔습니다")


@pytest.mark.parametrize("server_options", [("--guests",)])
def test_with_accounts_and_guests_both_are_offered(member):
    one, guest = member(), member()
    offers(one, guest="click", account="form")
    sign_in(one)
    one.create_or_join("마당")
    guest.find("#other-way-button").click()
    offers(guest, guest="form", account="click")
    guest.find("#name").fill("영희")  # an account has it
    guest.find("#enter").click()
    expect(guest.find("#entry-error")).to_contain_text("주인이 있는 이름")
    guest.find("#name").fill("손님")
    guest.find("#enter").click()
    guest.is_connected()
    guest.find("#others button").click()
    guest.is_in("마당")
    guest.expects(*REFUSED)
    guest.create("손님방")
    expect(guest.find("#create-error")).to_have_text("로그인한 사람만 할 수 있습니다.")


def test_a_password_manager_recognizes_the_form(member):
    one = member()
    form = one.find("form:has(#password)")
    expect(form).to_have_attribute("method", "post")  # never in an address, even without the script
    for field, name, purpose in (("#account", "username", "username"), ("#password", "password", "current-password")):
        expect(form.locator(field)).to_have_attribute("name", name)
        expect(form.locator(field)).to_have_attribute("autocomplete", purpose)
        expect(form.locator(field)).to_have_attribute("autocapitalize", "none")
    expect(form.locator("#password")).to_have_attribute("type", "password")
    expect(form.locator("[type=submit]")).to_have_count(1)


def test_the_password_can_be_looked_at(member):
    one = member()
    one.find("#password").fill(PASSWORD)
    one.find("#show-password").click()
    expect(one.find("#password")).to_have_attribute("type", "text")
    expect(one.find("#show-password")).to_have_attribute("aria-pressed", "true")
    fill(one, "길동", PASSWORD)
    one.is_connected()
    expect(one.find("#password")).to_have_attribute("type", "password")
    expect(one.find("#password")).to_have_value("")


def test_signing_in_works_by_keyboard_alone(member):
    one = member()
    expect(one.find("#account")).to_be_focused()
    one.page.keyboard.type("길동")
    one.page.keyboard.press("Tab")
    one.page.keyboard.type(PASSWORD)
    one.page.keyboard.press("Enter")
    one.is_connected()


# Refusals


@pytest.mark.parametrize("name", ["길동", "아무도 아닌 사람"])
def test_a_wrong_name_or_password_is_refused_in_the_same_words(member, name):
    one = member().expects(*REFUSED)
    fill(one, name, "틀린 비밀번호")
    expect(one.find("#sign-in-error")).to_have_text("계정 이름이나 비밀번호가 맞지 않습니다.")
    expect(one.find("#password")).to_be_focused()
    expect(one.find("#account")).to_have_value(name)
    sign_in(one)


def test_an_empty_form_is_not_even_sent(member):
    one = member()
    logins = requests_to(one, "/auth/login")
    one.find("#sign-in").click()
    expect(one.find("#sign-in-error")).to_have_text("계정 이름을 적어 주세요.")
    expect(one.find("#account")).to_be_focused()
    fill(one, "길동", "")
    expect(one.find("#sign-in-error")).to_have_text("비밀번호를 적어 주세요.")
    expect(one.find("#password")).to_be_focused()
    assert logins == []


def test_too_many_wrong_passwords_are_held_back_for_a_while_and_no_longer(visitor, configured):
    one = visitor(configured.url).expects(*REFUSED)
    one.page.clock.install()
    one.page.goto(one.url)
    expect(one.find("#sign-in-form")).to_be_visible()  # the page has its answer: what waits would wait forever
    # A wait of a second would be over before the test looks: the page's clock stands still until then.
    one.page.clock.pause_at(time.time() + 3_600)
    for _ in range(20):
        fill(one, "길동", "틀린 비밀번호")
        expect(one.find("#sign-in-error")).not_to_be_empty()
        if one.find("#sign-in").get_attribute("aria-disabled") == "true":
            break
        expect(one.find("#sign-in-error")).to_contain_text("맞지 않습니다")
    expect(one.find("#sign-in-error")).to_contain_text(re.compile("잠시 막혔습니다. [0-9]+초 뒤에 다시"))
    expect(one.find("#sign-in")).to_have_text(re.compile("로그인 \\([0-9]+초 뒤\\)"))
    logins = requests_to(one, "/auth/login")
    one.find("#password").press("Enter")
    one.page.clock.resume()
    expect(one.find("#sign-in")).to_have_text("로그인", timeout=2 * WAIT_MS)
    expect(one.find("#sign-in-error")).to_be_empty()
    assert logins == []
    sign_in(one)


@pytest.mark.parametrize("status, headers, code, words", [
    (429, {"Retry-After": "70"}, "too_many_requests", "잠시 막혔습니다. 70초 뒤에 다시 해 주세요."),
    (503, {"Retry-After": "90"}, "unavailable", "90초 뒤에"),
    (503, {}, "unavailable", "서버가 바쁩니다."),
    (400, {}, "bad_request", "계정 이름이나 비밀번호가 맞지 않습니다."),
    (500, {}, "something_new", "서버가 받아들이지 않았습니다."),
])
def test_every_refusal_is_told_in_words(member, status, headers, code, words):
    one = member().expects(*REFUSED)
    one.page.route("**/auth/login", lambda route: route.fulfill(status=status, headers=headers, json={"error": {"code": code, "message": "…"}}))
    fill(one, "길동", PASSWORD)
    expect(one.find("#sign-in-error")).to_contain_text(words)
    expect(one.find("#password")).to_have_value(PASSWORD)


def test_a_server_out_of_reach_is_told_and_the_form_can_be_sent_again(member):
    one = member().expects(*REFUSED)
    one.page.route("**/auth/login", lambda route: route.abort())
    fill(one, "길동", PASSWORD)
    expect(one.find("#sign-in-error")).to_contain_text("서버에 닿지 않습니다")
    one.page.unroute("**/auth/login")
    one.find("#sign-in").click()
    one.is_connected()


def test_a_form_on_its_way_is_busy_and_not_sent_twice(member):
    one = member()
    waiting = []
    one.page.route("**/auth/login", lambda route: waiting.append(route))
    fill(one, "길동", PASSWORD)
    expect(one.find("#sign-in")).to_have_text("로그인하는 중…")
    expect(one.find("#sign-in")).to_have_attribute("aria-disabled", "true")
    one.find("#password").press("Enter")
    one.find("#sign-in").click(force=True)
    eventually(one, lambda: waiting)
    assert len(waiting) == 1
    waiting[0].continue_()
    one.is_connected()


def test_an_entry_screen_that_can_not_ask_the_server_asks_again(member, visitor, configured):
    one = visitor(configured.url).expects(*REFUSED)
    one.page.route("**/auth", lambda route: route.abort())
    one.page.goto(one.url)
    expect(one.find("#entry-wait")).to_contain_text("서버에 닿지 않습니다")
    one.page.unroute("**/auth")
    expect(one.find("#sign-in-form")).to_be_visible()
    expect(one.find("#entry-wait")).to_be_empty()


# The lifetime of a session


def test_a_reload_stays_signed_in_and_so_does_a_new_tab(member):
    one = sign_in(member())
    one.create_or_join("하나")
    one.say("여기 있습니다")
    logins = requests_to(one, "/auth/login")
    one.page.reload()
    one.is_in("하나")
    one.sees("여기 있습니다")
    expect(one.find("#my-name")).to_have_text("길동")
    tab = Visitor(one.page.context.new_page(), one.url)
    logins_of_tab = requests_to(tab, "/auth/login")
    tab.page.goto(one.url)
    tab.is_connected()
    expect(tab.find("#my-name")).to_have_text("길동")
    assert logins == logins_of_tab == tab.unexpected_problems() == []


def test_each_connection_has_a_fresh_ticket_and_no_address_has_the_token(visitor, configured, make_proxy):
    proxy = make_proxy(configured.port)
    one = visitor(proxy.url).expects(*CUT)
    addresses, bought = [], []
    one.page.on("request", lambda request: addresses.append(request.url))
    one.page.on("requestfinished", lambda request: request.url.endswith("/auth/ws-ticket") and bought.append(request))
    sockets = sockets_of(one)
    one.page.add_init_script("Math.random = () => 0.02")  # reconnects without much waiting
    one.page.goto(one.url)
    sign_in(one)
    one.create_or_join("하나")
    for n in range(1, 4):
        eventually(one, lambda: (len(bought), len(sockets)) == (n, n))
        # Without a connection to the server there is no ticket, and the page waits as after any lost connection.
        with one.page.expect_event("requestfailed", lambda request: request.url.endswith("/auth/ws-ticket")):
            proxy.is_open = False
            proxy.cut()
        one.write(f"글 {n}")
        expect(one.find("#banner")).to_contain_text("연결이 끊겼습니다")
        proxy.is_open = True
        one.is_connected()
        one.sees(f"글 {n}")
    assert len(set(sockets)) == len(sockets)
    assert all(re.search(r"/ws\?ticket=[\w-]{43,}$", url) for url in sockets)
    token = json.loads(one.page.evaluate("localStorage.getItem('sarang.token')"))["token"]
    assert not any(token in url for url in addresses + sockets)


def test_a_ticket_that_got_lost_is_replaced(member):
    one = member().expects(*CUT)
    stale = []

    def once(route):
        response = route.fetch()
        if not stale:
            stale.append(response)
            return route.fulfill(json={"ticket": "A" * 43, "expires_in": 30})
        return route.fulfill(response=response)

    one.page.route("**/auth/ws-ticket", once)
    sign_in(one)
    assert stale


def test_what_a_session_may_do_over_http_it_may_do_on_the_page(member):
    one = sign_in(member())
    one.create("정원 있는 방", 3)
    one.is_in("정원 있는 방")
    expect(one.find("#seats")).to_contain_text("1 / 3명")


@pytest.mark.parametrize("server_options", [("--token-ttl", "16")])
def test_a_session_is_renewed_and_the_chat_goes_on_past_its_first_end_on_one_connection(visitor, configured):
    one = visitor(configured.url)
    sockets, frames = sockets_of(one), frames_of(one)
    one.page.goto(one.url)
    sign_in(one)
    eventually(one, lambda: any(message["type"] == "welcome" for who, message in frames))
    first = next(message["expires_at"] for who, message in frames if message["type"] == "welcome")
    one.create_or_join("하나")
    one.say("처음")
    eventually(one, lambda: sum(message["type"] == "welcome" for who, message in frames) >= 3)
    ends = [message["expires_at"] for who, message in frames if message["type"] == "welcome"]
    assert ends == sorted(set(ends)) and ends[0] == first
    eventually(one, lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) > first)
    one.say("그 뒤")
    one.sees_in_order(["처음", "그 뒤"])
    assert len(sockets) == 1
    assert [message["type"] for who, message in frames if who == "page"].count("join") == 1
    expect(one.find("#banner")).to_be_hidden()


@pytest.mark.parametrize("server_options", [("--token-ttl", "20")])
def test_a_session_that_can_not_be_renewed_ends_with_the_reason_and_goes_on_after_signing_in_again(member):
    one, other = member().expects(*REFUSED), member().expects(*REFUSED)
    one.page.route("**/auth/refresh", lambda route: route.abort())
    sign_in(one)
    sign_in(other, "영희")
    one.create_or_join("하나")
    other.create_or_join("하나")
    one.say("끝나기 전")
    one.find("#text").fill("쓰던 글")
    is_signed_out(one, EXPIRED)
    expect(one.find("#account")).to_have_value("길동")
    expect(one.find("#password")).to_be_focused()
    other.say("기다립니다")
    one.page.unroute("**/auth/refresh")
    one.find("#password").fill(PASSWORD)
    one.page.keyboard.press("Enter")
    one.is_in("하나")
    one.sees_in_order(["끝나기 전", "기다립니다"])
    expect(one.find(".gap")).to_have_count(0)
    expect(one.find("#text")).to_have_value("쓰던 글")
    one.find("#text").press("Enter")
    other.sees("쓰던 글")


@pytest.mark.parametrize("server_options", [("--token-ttl", "12")])
def test_a_refused_renewal_is_announced_before_the_session_ends(member):
    one = member().expects(*REFUSED)
    one.page.route("**/auth/refresh", lambda route: route.fulfill(status=401, json={"error": {"code": "invalid_token", "message": "…"}}))
    one.noting("#banner", BANNER)
    sign_in(one)
    is_signed_out(one, EXPIRED)
    # The announcement is on the screen for a few seconds only.
    announced = [rest for text, *rest in one.noted("#banner") if "더 이어 주지 않습니다" in text]
    assert [False, True, "state is-connected"] in announced


@pytest.mark.parametrize("server_options", [("--token-ttl", "16")])
def test_a_connection_that_could_not_be_extended_is_replaced_without_signing_in(visitor, configured):
    one = visitor(configured.url).expects(*REFUSED)
    ends = []
    one.page.on("websocket", lambda socket: socket.on("close", lambda _: ends.append(socket)))
    one.page.goto(one.url)
    sign_in(one)
    one.create_or_join("하나")
    one.say("먼저")
    one.page.route("**/auth/ws-ticket", lambda route: route.abort())
    expect(one.find("#state")).to_have_class("state is-reconnecting")
    one.write("그 사이")
    one.page.unroute("**/auth/ws-ticket")
    one.is_connected()
    one.sees_in_order(["먼저", "그 사이"])
    eventually(one, lambda: ends)
    assert len(ends) == 1
    expect(one.find("#entry")).to_be_hidden()


def test_a_long_session_is_renewed_in_its_last_quarter_and_when_the_page_wakes_up(visitor, configured):
    one = visitor(configured.url)
    one.page.clock.install()
    renewals = requests_to(one, "/auth/refresh")
    one.page.goto(one.url)
    sign_in(one)
    one.create_or_join("하나")
    one.page.clock.fast_forward("44:00")
    one.say("아직 아닙니다")
    assert renewals == []
    with one.page.expect_response("**/auth/refresh"):
        one.page.clock.fast_forward("02:00")
    one.say("새로 받았습니다")
    one.page.evaluate("const now = Date.now() + 3_000_000; Date.now = () => now")
    with one.page.expect_response("**/auth/refresh"):
        one.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert len(renewals) == 2


def test_signing_in_works_without_storage(visitor, configured):
    one = visitor(configured.url)
    one.page.add_init_script("for (const name of ['sessionStorage', 'localStorage']) Object.defineProperty(window, name, { get() { throw new DOMException('no'); } })")
    one.page.goto(one.url)
    sign_in(one)
    one.create_or_join("하나")
    one.say("들어왔습니다")
    one.page.reload()
    expect(one.find("#sign-in-form")).to_be_visible()


def test_what_was_not_sent_waits_for_its_author_and_is_not_shown_to_another(visitor, configured, users, make_proxy):
    proxy = make_proxy(configured.port)
    one, other = visitor(proxy.url).expects(*CUT, *REFUSED), visitor(configured.url)
    for who, name in ((one, "길동"), (other, "영희")):
        who.page.goto(who.url)
        sign_in(who, name)
        who.create_or_join("하나")
    one.say("이어진 글")
    proxy.is_open = False
    proxy.cut()
    expect(one.find("#state")).to_have_class("state is-reconnecting")
    one.write("끊긴 동안")
    configured.kill()
    configured.start()  # with another secret
    other.expects(*CUT, *REFUSED)
    proxy.is_open = True
    one.hurries()
    is_signed_out(one, REFUSED_SESSION)
    sign_in(one)
    one.sees("끊긴 동안")
    expect(one.find(".outgoing li")).to_have_count(0)
    is_signed_out(other, REFUSED_SESSION)
    sign_in(other, "길동")
    expect(other.find("#joined li")).to_have_count(0)
    expect(other.find(".bubble")).to_have_count(0)


def test_a_demo_server_that_started_again_says_why_and_lets_in_again(visitor, server):
    one = visitor().expects(*CUT, *REFUSED)
    one.page.goto(one.url)
    one.find("#other-way-button").click()
    sign_in(one, "admin", "secret")
    one.create_or_join("하나")
    server.kill()
    expect(one.find("#state")).to_have_class("state is-reconnecting")
    server.start()
    one.hurries()
    is_signed_out(one, REFUSED_SESSION)
    one.page.reload()  # the rooms are remembered, the token is not
    expect(one.find("#account")).to_have_value("admin")
    sign_in(one, "admin", "secret")
    one.is_in("하나")


def test_a_guest_where_guests_are_not_let_in_any_more_is_asked_to_sign_in(visitor, server, users):
    one = visitor().enter("손님", "하나").expects(*CUT)
    server.kill()
    server.options = ("--users", users.path)
    server.start()
    one.hurries()
    expect(one.find("#banner-action")).to_have_text("다시 들어가기")
    one.find("#banner-action").click()
    offers(one, guest=None, account="form")
    expect(one.find("#sign-in-error")).to_be_empty()
    one.page.reload()
    sign_in(one)


def test_a_visitor_who_signs_out_is_signed_out_on_the_page_and_on_the_server(member):
    one = member()
    asked = []
    one.page.on("request", lambda request: request.url.endswith("/auth/ws-ticket") and asked.append(request.headers["authorization"]))
    sign_in(one)
    one.create_or_join("하나")
    with one.page.expect_response("**/auth/logout") as answer:
        one.find("#sign-out").click()
    assert answer.value.status == 204
    expect(one.find("#sign-in-form")).to_be_visible()
    expect(one.find("#entry-reason")).to_be_empty()
    expect(one.find("#password")).to_have_value("")
    one.expects(*REFUSED)
    response = one.page.request.post(f"{one.url}/auth/ws-ticket", headers={"Authorization": asked[-1]})
    assert response.status == 401
    one.page.reload()
    expect(one.find("#sign-in-form")).to_be_visible()


def test_leaving_in_one_tab_ends_the_session_in_all_tabs_of_a_browser_and_in_no_other(member):
    one, apart = sign_in(member()), sign_in(member())
    for who in (one, apart):
        who.create_or_join("하나")
    with one.page.context.expect_page() as opened:
        one.page.evaluate("open(location.href) && undefined")  # a tab opened from a tab starts with a copy of its storage
    copy, other = Visitor(opened.value, one.url), Visitor(one.page.context.new_page(), one.url)
    copy.is_in("하나")
    other.page.goto(f"{one.url}/?room=둘")
    other.is_in("둘")
    other.find("#text").fill("쓰던 글")
    one.find("#sign-out").click()
    for tab in (copy, other):
        is_signed_out(tab, "다른 탭에서 나갔습니다", stored='{"left":true}')
        tab.page.reload()
        expect(tab.find("#sign-in-form")).to_be_visible()
        expect(tab.find("#entry-reason")).to_be_empty()
        assert "쓰던 글" not in tab.page.evaluate("JSON.stringify({ ...sessionStorage })")
        assert tab.unexpected_problems() == []
    apart.say("아직 있습니다")
    apart.is_connected()
    # Who signs in again does so for all of them.
    sign_in(other)
    for tab in (one, copy):
        tab.is_connected()
        expect(tab.find("#my-name")).to_have_text("길동")


@pytest.mark.parametrize("server_options", [("--token-ttl", "16")])
def test_tabs_share_each_renewal_and_all_go_on(member):
    one = sign_in(member())
    one.create_or_join("하나")
    tab = Visitor(one.page.context.new_page(), one.url)
    renewals = requests_to(one, "/auth/refresh")
    renewals_of_tab = requests_to(tab, "/auth/refresh")
    frames = frames_of(tab)
    tab.page.goto(f"{one.url}/?room=하나")
    tab.is_in("하나")
    eventually(tab, lambda: sum(message["type"] == "welcome" for who, message in frames) >= 4)
    tokens = [request.headers["authorization"] for request in renewals + renewals_of_tab]
    assert len(tokens) >= 2 and len(tokens) == len(set(tokens)), "no token is renewed twice"
    for page, text in ((one, "하나"), (tab, "둘")):
        page.say(text)
    one.sees("둘")
    tab.sees("하나")
    expect(tab.find("#banner")).to_be_hidden()


def test_a_removed_account_is_told_why_it_is_out(member, configured, users):
    one, other = sign_in(member()).expects(*REFUSED), sign_in(member(), "영희")
    for who in (one, other):
        who.create_or_join("하나")
    expect(other.find("#people-count")).to_have_text("2")
    users.remove("길동")
    os.kill(configured.process.pid, signal.SIGHUP)
    is_signed_out(one, REFUSED_SESSION)
    expect(other.find("#people-count")).to_have_text("1")
    fill(one, "길동", PASSWORD)
    expect(one.find("#sign-in-error")).to_contain_text("맞지 않습니다")


# Languages, colour schemes, screen sizes


def test_english_visitors_sign_in_in_english(member):
    one = member(locale="en-GB").expects(*REFUSED)
    expect(one.find("#sign-in")).to_have_text("Sign in")
    fill(one, "길동", "wrong")
    expect(one.find("#sign-in-error")).to_have_text("The account name or the password is wrong.")
    sign_in(one)


@pytest.mark.parametrize("server_options", [("--guests",)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, {"width": 320, "height": 568}], ids=["desktop", "phone", "small"])
def test_axe_finds_nothing_on_the_sign_in_form(visitor, configured, scheme, viewport):
    one = visitor(configured.url, viewport=viewport, color_scheme=scheme).expects(*REFUSED)
    # The page's clock is moved by the test, so that a message shown until a given time stays.
    one.page.clock.install()
    one.page.goto(one.url)
    expect(one.find("#sign-in-form")).to_be_visible()
    assert violations(one) == []
    one.find("#show-password").click()
    fill(one, "길동", "틀린 비밀번호")
    expect(one.find("#sign-in-error")).not_to_be_empty()
    assert violations(one) == []
    assert fits(one)
    one.page.route("**/auth/login", lambda route: route.fulfill(status=429, headers={"Retry-After": "600"}, json={"error": {"code": "too_many_requests"}}))
    fill(one, "길동", PASSWORD)
    expect(one.find("#sign-in")).to_have_text(re.compile("초 뒤"))
    assert violations(one) == []
    one.page.unroute("**/auth/login")
    one.page.clock.fast_forward("10:00")
    expect(one.find("#sign-in")).to_have_text("로그인")
    one.page.route("**/auth/refresh", lambda route: route.fulfill(status=401, json={"error": {"code": "invalid_token"}}))
    sign_in(one)
    token = json.loads(one.page.evaluate("localStorage.getItem('sarang.token')"))["token"]
    one.page.clock.fast_forward("46:00")
    expect(one.find("#banner")).to_contain_text("더 이어 주지 않습니다")
    assert violations(one) == []
    one.page.clock.fast_forward("14:00")
    one.page.request.post(f"{one.url}/auth/logout", headers={"Authorization": f"Bearer {token}"})
    is_signed_out(one, EXPIRED)
    assert violations(one) == []
    assert fits(one)
