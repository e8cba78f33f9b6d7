"""The dashboard, used as visitors use it."""

import http.client
import json
import re
import subprocess
import threading
import time
import urllib.request
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect

from accessibility import violations
from conftest import BIN, REFUSED, WAIT_MS, Server

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# Messages that Chromium itself writes when a stream is cut, or opened to a server that is down.
CUT = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_SOCKET_NOT_CONNECTED", "Failed to load resource")


@pytest.fixture
def watcher(visitor, server):
    """Makes visitors of the dashboard."""

    def make(url=None, query="", before=lambda one: None, **options):
        one = visitor(url=(url or server.url) + "/dashboard" + query, **options)
        before(one)
        one.page.goto(one.url)
        return one

    return make


def is_live(one):
    one.is_connected()
    expect(one.find("#gauge-cpu")).to_have_attribute("aria-valuetext", re.compile(r"\d"))


def last_id(one):
    return int(one.find("#last-id").get_attribute("data-id") or 0)


def wait_for_id(one, number):
    one.page.wait_for_function("(n) => Number(document.querySelector('#last-id').dataset.id) >= n", arg=number, timeout=60_000)


def waits_long(one):
    """Makes the page wait for at least half a minute before it reconnects by itself: its messages stay visible, and the
    button is what reconnects."""
    one.page.add_init_script("Math.random = () => 20")


def is_lost(one):
    expect(one.find("#state")).to_have_class(re.compile("is-reconnecting"))
    expect(one.find("#banner")).to_be_visible()


def events_into(seen):
    """Records every event that Chromium receives, in order, from outside the page and from before it opens: events of a
    page that is being left are recorded too."""

    def watch(one):
        session = one.page.context.new_cdp_session(one.page)
        session.on("Network.eventSourceMessageReceived", lambda event: seen.append((event["eventName"], event["eventId"], json.loads(event["data"]))))
        session.send("Network.enable")

    return watch


class Listener:
    """An SSE client that reads the same stream as the page, directly from the server."""

    def __init__(self, url):
        self.ids = []
        self.response = urllib.request.urlopen(f"{url}/sse/dashboard?last_event_id=0", timeout=60)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for line in self.response:
                if line.startswith(b"id:"):
                    self.ids.append(int(line[3:]))
        except (OSError, ValueError, AttributeError):
            pass


def token(server):
    body = json.dumps({"username": "admin", "password": "secret"}).encode()
    request = urllib.request.Request(f"{server.url}/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["access_token"]


def post_business(server, figures):
    """Posts figures as a back end does; each post is an event at once."""
    headers = {"Authorization": f"Bearer {token(server)}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for each in figures:
        connection.request("POST", "/events/business", json.dumps(each), headers)
        response = connection.getresponse()
        response.read()
        assert response.status < 300, response.status
    connection.close()


def drawn_line(one, chart="#machine", line=0):
    """The path of a line, once its chart is drawn: the numbers beside it are there a frame before its size is known."""
    path = one.find(f"{chart} .chart .chart-line").nth(line)
    expect(path).to_have_attribute("d", re.compile("^M"))
    return path.get_attribute("d")


def pieces(one, chart="#machine", line=0):
    """The number of pieces of a drawn line."""
    return drawn_line(one, chart, line).count("M")


def pauses(seen):
    """How many pauses between samples of the machine were so long that the line is broken: a busy machine causes one now and
    then."""
    times = [datetime.fromisoformat(data["time"].replace("Z", "+00:00")) for name, _, data in seen if name == "system_metrics"]
    return sum(after - before > timedelta(seconds=2.5) for before, after in zip(times, times[1:]))


def shows_all(one):
    """Waits until there is something of each kind: what is there for the first time takes its place on the page."""
    is_live(one)
    for figure in ("#requests", "#connections", "#revenue"):
        expect(one.find(f"{figure} .figure-value").first).to_have_text(re.compile(r"\d"))


def until(is_so):
    """Waits for something outside the page."""
    end = time.monotonic() + WAIT_MS / 1000
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)


# Values


def test_values_change_without_a_reload(watcher):
    seen = []
    one = watcher(before=events_into(seen))
    is_live(one)
    first = last_id(one)
    wait_for_id(one, first + 3)
    expect(one.find("#age")).to_have_text(re.compile("지금|1초"))
    for gauge in ("cpu", "memory", "disk"):
        expect(one.find(f"#gauge-{gauge} .gauge-value")).to_have_text(re.compile(r"^\d{1,3}\.\d%$"))
        expect(one.find(f"#gauge-{gauge} .gauge-level")).to_have_text(re.compile("여유|높음|위험"))
    line = one.find("#machine .chart .chart-line").first
    assert 1 <= pieces(one) <= 1 + pauses(seen)
    drawn = line.get_attribute("d")
    wait_for_id(one, last_id(one) + 2)
    expect(line).not_to_have_attribute("d", drawn)


def test_everything_is_filled_within_ten_seconds(watcher):
    one = watcher()
    for figure in ("requests", "errors", "users", "revenue", "orders"):
        expect(one.find(f"#{figure} .figure-value")).to_have_text(re.compile(r"\d"))
    expect(one.find(":is(#response, #percentiles):visible .figure-value").first).to_have_text(re.compile(r"\d"))
    expect(one.find("#subscribers")).to_have_text(re.compile(r"^(\d+|–)$"))


def test_simulated_figures_say_so_until_a_back_end_posts_its_own(watcher, server):
    one = watcher(locale="en-US")
    expect(one.find("#revenue .tag")).to_be_visible()
    expect(one.find("#orders .tag")).to_have_text("simulated")
    expect(one.find("#users .tag")).to_be_hidden()
    one.noting("#revenue .change")
    def posts():
        post_business(server, [{"revenue": 1000, "orders": 10}, {"revenue": 1500, "orders": 10}])
        expect(one.find("#revenue .figure-value")).to_have_text("1,500")
        return any("+500 (+50.0%)" in text for text in one.noted("#revenue .change"))

    # The clock may send the same figures soon after, even before these are drawn.
    assert posts() or posts()
    expect(one.find("#revenue .tag")).to_be_hidden()
    expect(one.find("#orders .change").first).to_contain_text("no change")


# Connection


def test_it_says_that_the_server_is_gone_and_comes_back_by_itself(watcher, server):
    one = watcher().expects(*CUT)
    is_live(one)
    wait_for_id(one, 12)
    server.kill()
    is_lost(one)
    expect(one.find("#banner-time")).to_have_text(re.compile(r"\d+초 뒤에"))
    expect(one.page).to_have_title(re.compile("끊김"))
    server.start()
    expect(one.find("#state")).to_have_class(re.compile("is-connected"))
    expect(one.find("#banner")).to_be_hidden()
    expect(one.find("#told")).to_contain_text("서버가 새로 시작되어")
    expect(one.page).not_to_have_title(re.compile("끊김"))


def test_after_a_restart_the_charts_show_a_break(watcher, server):
    one = watcher(locale="en-US", before=waits_long).expects(*CUT)
    is_live(one)
    wait_for_id(one, 15)
    assert one.find("#machine .chart-mark").get_attribute("d") == ""
    server.kill()
    is_lost(one)
    one.settles()
    before = pieces(one)
    one.noting("#last-id", "(element) => Number(element.dataset.id)")
    server.start()
    one.find("#try-now").click()
    expect(one.find("#state")).to_have_class("state is-connected has-gap")
    expect(one.find("#state")).to_have_text("Gap seen")
    expect(one.find("#told")).to_contain_text("the server has started anew")
    one.page.wait_for_function("() => noted['#last-id'].some((id, index, all) => id < all[index - 1])")
    # A line is visible from its second point on.
    one.page.wait_for_function(
        "(before) => document.querySelector('#machine .chart .chart-line').getAttribute('d').split('M').length - 1 > before", arg=before
    )
    expect(one.find("#machine .chart-missing")).to_have_attribute("d", re.compile("^M"))
    expect(one.find("#machine .chart-mark")).to_have_attribute("d", re.compile("^M"))
    one.find("#told button").click()
    expect(one.find("#state")).to_have_class("state is-connected")
    expect(one.find("#told")).to_be_hidden()


def test_with_a_secret_a_restart_is_told_as_one_although_the_ids_only_grow(watcher, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.write_text("only:a secret of this test, long enough for HS256\n")
    server = Server("--secret-file", str(secrets), "--public-dashboard")
    try:
        one = watcher(url=server.url, locale="en-US", before=waits_long, viewport=PHONE).expects(*CUT)
        is_live(one)
        before = last_id(one)
        assert abs(before / 1000 - time.time()) < 3600, "milliseconds since 1970"
        assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "such an id is too wide"
        server.kill()
        is_lost(one)
        server.start()
        one.find("#try-now").click()
        expect(one.find("#state")).to_have_class("state is-connected has-gap")
        expect(one.find("#told")).to_contain_text("the server has started anew")
        wait_for_id(one, before + 1)
    finally:
        server.kill()


def test_a_resumed_stream_has_no_hole(watcher, server, proxy):
    beside = Listener(server.url)
    seen = []
    one = watcher(url=proxy.url, locale="en-US", before=events_into(seen)).expects(*CUT)
    is_live(one)
    for _ in range(2):
        wait_for_id(one, last_id(one) + 4)
        proxy.is_open = False
        proxy.cut()
        is_lost(one)
        before = last_id(one)
        until(lambda: max(beside.ids) >= before + 4)
        proxy.is_open = True
        expect(one.find("#state")).to_have_class("state is-connected")
        one.was_told("nothing was missed")
        wait_for_id(one, before + 6)
    reached = last_id(one)
    ids = [int(number) for _, number, _ in seen if number]
    assert ids == sorted(set(ids)), "an event came twice, or not in order"
    until(lambda: max(beside.ids) >= reached)
    assert [each for each in ids if each <= reached] == [each for each in beside.ids if ids[0] <= each <= reached]
    assert "gap" not in [name for name, *_ in seen]
    # The resumed events are at their places: the line is whole where the server has made no pause.
    assert pieces(one) <= 1 + pauses(seen)
    if not pauses(seen):
        expect(one.find("#machine .chart-missing")).to_have_attribute("d", "")


def test_events_that_are_gone_are_named(watcher, server, proxy):
    one = watcher(url=proxy.url, locale="en-US").expects(*CUT)
    is_live(one)
    wait_for_id(one, 5)
    proxy.is_open = False
    proxy.cut()
    is_lost(one)
    post_business(server, [{"revenue": n, "orders": n} for n in range(260)])
    proxy.is_open = True
    expect(one.find("#told")).to_contain_text(re.compile(r"events \d+–\d+ are gone \(\d+\)"))
    expect(one.find("#revenue .figure-value")).to_have_text("259")


def test_a_path_that_died_silently_is_noticed(watcher, proxy):
    one = watcher(url=proxy.url, before=waits_long).expects(*CUT)
    is_live(one)
    proxy.answers = False
    is_lost(one)
    expect(one.find("#banner-text")).to_have_text("값이 오지 않아 연결을 새로 엽니다.")
    proxy.answers = True
    one.find("#try-now").click()
    one.is_connected()


def test_a_refusal_is_told_and_tried_again(watcher):
    one = watcher(locale="en-US", before=waits_long).expects(*CUT)
    is_live(one)
    one.page.route("**/sse/**", lambda route: route.fulfill(status=503, body="busy"))
    one.page.reload()
    expect(one.find("#banner-text")).to_have_text("The server did not take the connection (503).")
    one.page.unroute("**/sse/**")
    one.find("#try-now").click()
    is_live(one)


# Choices


def test_a_channel_shows_its_own_figures_and_is_kept_in_the_address(watcher):
    one = watcher(locale="en-US")
    is_live(one)
    with one.page.expect_request("**/sse/system**"):
        one.find("#channel").select_option("system")
    expect(one.find("#system")).to_be_visible()
    expect(one.find("#api")).to_be_hidden()
    expect(one.find("#business")).to_be_hidden()
    is_live(one)
    before = last_id(one)
    wait_for_id(one, before + 2)
    one.page.reload()
    expect(one.find("#channel")).to_have_value("system")
    expect(one.find("#api")).to_be_hidden()
    for channel, shown in (("api", "#api"), ("business", "#business")):
        one.find("#channel").select_option(channel)
        expect(one.find(shown)).to_be_visible()
        expect(one.find("#system")).to_be_hidden()
        expect(one.find(f"{shown} .figure-value").first).to_have_text(re.compile(r"\d"))
        # Nobody can tell from revenue and orders whether all is well.
        expect(one.find("#verdict")).to_be_visible(visible=channel == "api")
        expect(one.find(".history")).to_be_visible(visible=channel == "api")
        one.is_connected()
    one.find("#channel").select_option("all")
    for section in ("system", "api", "business"):
        expect(one.find(f"#{section}")).to_be_visible()
    expect(one.find("#told")).to_be_empty()


def test_no_event_is_drawn_twice_when_the_channel_changes_to_and_fro(watcher):
    seen = []
    one = watcher(locale="en-US", before=events_into(seen))
    is_live(one)
    for channel in ("system", "dashboard", "system", "all"):
        wait_for_id(one, last_id(one) + 6)
        one.find("#channel").select_option(channel)
        one.is_connected()
    wait_for_id(one, last_id(one) + 2)
    # All are drawn in the same moment.
    drawn, alone, last = one.page.evaluate("""[
      ...['.chart-line', '.chart-lone'].map((name) => document.querySelector(`#machine .chart ${name}`).getAttribute('d')),
      Number(document.querySelector('#last-id').dataset.id),
    ]""")
    assert drawn.count("M") <= 1 + pauses(seen)
    samples = {int(number) for name, number, _ in seen if name == "system_metrics"}
    across = [float(x) for x in re.findall(r"[ML]([\d.]+)", drawn)]
    assert across == sorted(across)
    across += re.findall("M", alone)
    assert len(across) == len([number for number in samples if number <= last])


def test_the_time_shown_is_chosen_with_the_keyboard(watcher):
    one = watcher(locale="en-US")
    is_live(one)
    one.find("#windows input[value='5']").focus()
    one.page.keyboard.press("ArrowRight")
    expect(one.find("#windows input[value='15']")).to_be_checked()
    expect(one.page).to_have_url(re.compile("minutes=15"))
    one.page.reload()
    expect(one.find("#windows input[value='15']")).to_be_checked()


def test_values_are_read_with_the_arrow_keys_and_with_the_pointer(watcher):
    one = watcher(locale="en-US", query="?minutes=1")
    is_live(one)
    wait_for_id(one, last_id(one) + 5)
    plot = one.find("#machine .plot")
    plot.focus()
    latest = plot.get_attribute("aria-valuetext")
    assert re.search(r"\d\d:\d\d:\d\d, CPU [\d.]+%, Memory [\d.]+%, Disk [\d.]+%", latest)
    # One step may lead back to what was the latest, when a sample comes between.
    one.page.keyboard.press("ArrowLeft")
    one.page.keyboard.press("ArrowLeft")
    expect(one.find("#machine .chart-readout")).to_be_visible()
    expect(plot).not_to_have_attribute("aria-valuetext", latest)
    pinned = plot.get_attribute("aria-valuetext")
    wait_for_id(one, last_id(one) + 2)
    # While a visitor reads values, new values are not announced.
    expect(plot).to_have_attribute("aria-valuetext", pinned)
    one.page.keyboard.press("Escape")
    expect(one.find("#machine .chart-readout")).to_be_hidden()
    box = plot.bounding_box()
    one.page.mouse.move(box["x"] + box["width"] - 16, box["y"] + 40)
    expect(one.find("#machine .chart-readout")).to_contain_text("Memory")
    one.page.mouse.move(2, 2)
    expect(one.find("#machine .chart-readout")).to_be_hidden()


# Language, colours, space


def test_korean_and_english(watcher):
    korean, english = watcher(), watcher(locale="en-GB")
    expect(korean.find("h1")).to_have_text("현황판")
    expect(korean.find("#state")).to_have_text("연결됨")
    expect(korean.page).to_have_title("사랑방 현황판")
    expect(korean.find("#gauge-memory")).to_have_accessible_name("메모리")
    expect(english.find("h1")).to_have_text("Dashboard")
    expect(english.find("#state")).to_have_text("Connected")
    expect(english.page.locator("html")).to_have_attribute("lang", "en")
    expect(english.find(":is(#response, #percentiles):visible .figure-value").first).to_have_text(re.compile(r"^[\d.]+ ?ms$"))
    assert english.find("main").evaluate("(e) => /[가-힣]/.test(e.innerText)") is False


def test_light_and_dark_differ_and_both_show_the_lines(watcher):
    papers = {}
    for scheme in ("light", "dark"):
        one = watcher(color_scheme=scheme)
        is_live(one)
        papers[scheme] = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        strokes = one.find("#machine .chart .chart-line").evaluate_all("(all) => all.map((e) => getComputedStyle(e).stroke + getComputedStyle(e).strokeDasharray)")
        assert len(set(strokes)) == 3
    assert papers["light"] != papers["dark"]


@pytest.mark.parametrize("width", [320, 390, 820])
@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_nothing_scrolls_sideways(watcher, width, locale):
    one = watcher(locale=locale, viewport={"width": width, "height": 844}, has_touch=True)
    is_live(one)
    one.find("#numbers summary").click()
    expect(one.find("#rows tr").nth(8)).to_be_visible()
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_numbers_that_change_move_nothing(watcher, server):
    one = watcher(locale="en-US", viewport=DESKTOP)
    shows_all(one)
    wait_for_id(one, last_id(one) + 1)
    one.settles()
    one.page.evaluate("new PerformanceObserver((list) => { window.shift = (window.shift ?? 0) + list.getEntries().reduce((sum, entry) => sum + entry.value, 0); }).observe({ type: 'layout-shift' })")
    post_business(server, [{"revenue": value, "orders": value // 1000} for value in (1, 99_999, 12_345_678, 999_999_999)])
    expect(one.find("#revenue .figure-value")).to_have_text("999,999,999")
    wait_for_id(one, last_id(one) + 3)
    assert one.page.evaluate("window.shift ?? 0") < 0.01
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_does_not_grow_with_the_events(watcher, server):
    one = watcher()
    shows_all(one)
    post_business(server, [{"revenue": 5, "orders": 1}])
    expect(one.find("#revenue .figure-value")).to_have_text("5")
    wait_for_id(one, last_id(one) + 1)
    one.settles()
    count = "document.querySelectorAll('*').length"
    before = one.page.evaluate(count)
    post_business(server, [{"revenue": n, "orders": n % 7} for n in range(1, 801)])
    expect(one.find("#revenue .figure-value")).to_have_text("800")
    assert one.page.evaluate(count) <= before + 2
    # The ring keeps a bounded number of samples, and so does the line that is drawn of them.
    assert one.find("#revenue .chart .chart-line").get_attribute("d").count("L") < 600


# Signing in


def test_a_visitor_without_a_session_gets_a_link_to_sign_in_and_then_sees_the_dashboard(tmp_path, visitor):
    users = tmp_path / "users"
    subprocess.run([BIN, "user", "add", "주인", "--users", str(users)], input="correct horse battery staple\n", text=True, check=True, capture_output=True)
    server = Server("--users", str(users))
    try:
        one = visitor(url=server.url + "/dashboard", locale="en-US").with_modules().expects(*REFUSED)
        one.page.goto(one.url)
        expect(one.find("#sign-in")).to_be_visible()
        expect(one.find("#state")).to_have_text("Sign-in needed")
        expect(one.find("#system")).to_be_hidden()
        assert violations(one) == []
        expect(one.find("#sign-in a")).to_have_attribute("href", "./")
        one.page.evaluate("import('/static/session.js').then(({ Session }) => Session.signIn('주인', 'correct horse battery staple')).then(() => {})")
        one.page.reload()
        is_live(one)
        expect(one.find("#sign-in")).to_be_hidden()
    finally:
        server.kill()


# A machine that shows nothing of itself


class Blind(Server):
    """A server in a system without /proc."""

    runner = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"')


@pytest.fixture
def blind():
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets nobody mount anything")
    server = Blind()
    yield server
    server.kill()


@pytest.mark.parametrize("locale, word, why", [("ko-KR", "알 수 없음", "읽을 수 없습니다"), ("en-US", "no figure", "does not report")])
def test_where_the_system_reports_no_figure_that_is_said_and_nothing_is_drawn_as_zero(watcher, blind, locale, word, why):
    one = watcher(url=blind.url, locale=locale)
    one.is_connected()
    expect(one.find("#gauge-disk")).to_have_attribute("aria-valuetext", re.compile(r"\d"))
    wait_for_id(one, last_id(one) + 3)
    for gauge in ("#gauge-cpu", "#gauge-memory"):
        expect(one.find(f"{gauge} .gauge-value")).to_have_text("–")
        expect(one.find(f"{gauge} .gauge-level")).to_have_text(word)
        expect(one.find(f"{gauge} .gauge-lit")).to_have_css("visibility", "hidden")
        expect(one.find(gauge)).to_have_attribute("aria-valuetext", re.compile(why))
    expect(one.find("#gauge-disk .gauge-lit")).to_have_css("visibility", "visible")
    expect(one.find("#machine .legend .figure-value").nth(0)).to_have_text("–")
    # A line is visible from its second point on.
    expect(one.find("#machine .chart .chart-line").nth(2)).to_have_attribute("d", re.compile("L"))
    lines = one.find("#machine .chart .chart-line").evaluate_all("(all) => all.map((line) => line.getAttribute('d') ?? '')")
    assert [bool(line) for line in lines] == [False, False, True], lines
    assert violations(one) == []
    with urllib.request.urlopen(blind.url + "/metrics") as page:
        assert b"resident" not in page.read()


# Accessibility


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(watcher, server, scheme, viewport):
    one = watcher(viewport=viewport, color_scheme=scheme, reduced_motion="reduce", before=waits_long).expects(*CUT)
    is_live(one)
    wait_for_id(one, 15)
    one.find("#numbers summary").click()
    assert violations(one) == []
    server.kill()
    is_lost(one)
    assert violations(one) == []
    server.start()
    one.find("#try-now").click()
    expect(one.find("#told")).not_to_be_empty()
    assert violations(one) == []
