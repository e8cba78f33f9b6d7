"""Both pages in Firefox and in WebKitGTK, as Debian ships them, beside a visitor with Chromium."""

import pytest
from playwright.sync_api import expect

import other_browsers

MAKERS = {
    "Firefox": (other_browsers.firefox, other_browsers.Firefox),
    "WebKitGTK": (other_browsers.webkit, lambda found: other_browsers.WebKit(*found)),
}


@pytest.fixture(params=MAKERS)
def other(request):
    find, make = MAKERS[request.param]
    found = find()
    if not found:
        pytest.skip(f"{request.param} is not on this machine")
    page = make(found)
    yield page
    page.close()
    assert getattr(page, "problems", []) == []


def enter(page, url, name, room="기술"):
    page.open(f"{url}/?room={room}")
    page.fill("#name", name)
    page.click("#enter")
    page.sees(room, "#place")
    page.until("document.querySelector('#state').className === 'state is-connected'")
    page.is_shown("#text")


def write(page, text):
    page.click("#text")
    page.type(text + other_browsers.ENTER)


def test_people_with_any_browser_talk_with_each_other(other, visitor, server):
    younghee = visitor().enter("영희", "기술")
    younghee.say("먼저 온 글")
    enter(other, server.url, "길동")
    other.sees("먼저 온 글", ".bubble")
    write(other, "안녕하세요 👨‍👩‍👧 https://example.com/a")
    younghee.sees("안녕하세요 👨‍👩‍👧")
    other.until("document.querySelector('.message.mine .bubble a')?.href === 'https://example.com/a'")
    younghee.say("반갑습니다")
    other.sees("반갑습니다", ".bubble")
    # Whispers.
    younghee.whisper_to("길동")
    younghee.say("둘만의 말")
    other.sees("영희", "#whispers")
    other.click("#whispers .place")
    other.sees("둘만의 말", ".bubble")
    write(other, "그렇군요")
    younghee.sees("그렇군요")


def test_a_room_is_there_again_after_a_reload_in_any_browser(other, visitor, server):
    enter(other, server.url, "길동")
    write(other, "남는 글")
    other.sees("남는 글", ".messages:not(.outgoing) .bubble")
    other.reload()
    other.sees("남는 글", ".messages:not(.outgoing) .bubble")
    younghee = visitor().enter("영희", "기술")
    younghee.sees("남는 글")
    younghee.say("다시 오셨군요")
    other.sees("다시 오셨군요", ".bubble")


def test_the_composer_grows_with_what_is_written_in_any_browser(other, server):
    other.resize(390, 844)
    enter(other, server.url, "길동")

    def sizes(text):
        return other.evaluate(f"""(() => {{
          const text = document.querySelector('#text');
          text.value = {text};
          text.dispatchEvent(new InputEvent('input', {{ bubbles: true }}));
          return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve([text.offsetHeight, text.scrollHeight <= text.clientHeight]))));
        }})()""")

    (empty, fits), (broken, broken_fits), (wrapped, wrapped_fits) = sizes("''"), sizes("'a\\nb\\nc\\nd'"), sizes("'가나다라 '.repeat(20)")
    assert fits and broken_fits and wrapped_fits
    assert broken > 2 * empty and wrapped > 2 * empty, (empty, broken, wrapped)


def test_a_long_word_breaks_nothing_at_the_width_of_a_phone_in_any_browser(other, visitor, server):
    other.resize(390, 844)
    enter(other, server.url, "길동")
    younghee = visitor().enter("영희", "기술")
    younghee.say("가나다라" * 100)
    younghee.say("w" * 300)
    other.sees("w" * 300, ".bubble")
    other.until("document.documentElement.scrollWidth <= innerWidth")
    other.until("[...document.querySelectorAll('.bubble')].every((one) => one.getBoundingClientRect().right <= innerWidth)")


def test_the_dashboard_draws_live_values_in_any_browser(other, server):
    other.open(f"{server.url}/dashboard")
    other.until("document.querySelector('#state').classList.contains('is-connected')")
    other.until("[...document.querySelectorAll('svg .chart-line')].some((line) => (line.getAttribute('d') ?? '').length > 10)")
