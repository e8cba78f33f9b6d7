"""What a person may choose for themselves: the theme and the language, in this browser and in all its tabs."""

import json
import re

import pytest
from playwright.sync_api import expect

from accessibility import violations
from test_chat import DESKTOP, PHONE, fits
BRIGHTNESS = """() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
  return (r + g + b) / 3;
}"""
PAGES = pytest.mark.parametrize("path", ["/", "/dashboard"])


def chosen(one, **settings):
    """The page finds these settings from an earlier visit."""
    one.page.add_init_script(f"localStorage.setItem('sarang.settings', {json.dumps(json.dumps(settings))})")
    return one


def is_dark(one):
    brightness = one.page.evaluate(BRIGHTNESS)
    assert brightness < 60 or brightness > 200
    return brightness < 60


def theme_color(one):
    """The colour a phone gives to the frame of the browser."""
    return one.page.evaluate("""[...document.querySelectorAll('meta[name="theme-color"]')].find(({ media }) => matchMedia(media).matches).content""")


@PAGES
@pytest.mark.parametrize("scheme, theme", [("light", "dark"), ("dark", "light")])
def test_a_theme_that_was_chosen_wins_over_the_system(visitor, server, path, scheme, theme):
    one = chosen(visitor(color_scheme=scheme), theme=theme)
    one.page.goto(server.url + path)
    assert is_dark(one) == (theme == "dark")
    assert one.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == theme
    assert theme_color(one) == ("#1b1815" if theme == "dark" else "#f5efe3")


@PAGES
def test_the_theme_is_set_before_anything_is_painted(visitor, server, path):
    one = chosen(visitor(color_scheme="light"), theme="dark")
    one.page.add_init_script("""new MutationObserver((_, observer) => {
      if (!document.body) return;
      window.themeAtFirst = document.documentElement.dataset.theme;
      observer.disconnect();
    }).observe(document, { childList: true, subtree: true })""")
    one.page.goto(server.url + path)
    assert one.page.evaluate("themeAtFirst") == "dark"


@PAGES
def test_without_a_choice_the_theme_follows_the_system_while_the_page_is_open(visitor, server, path):
    one = visitor(color_scheme="light")
    one.page.goto(server.url + path)
    assert not is_dark(one)
    one.page.emulate_media(color_scheme="dark")
    expect(one.find("html")).to_have_attribute("data-theme", "dark")
    assert is_dark(one)
    assert theme_color(one) == "#1b1815"


@PAGES
@pytest.mark.parametrize("stored", ["{", "null", "3", '{"theme":"<b>","language":7,"sound":"yes"}'])
def test_settings_that_make_no_sense_are_as_good_as_none(visitor, server, path, stored):
    one = visitor(color_scheme="dark", locale="en-GB")
    one.page.add_init_script(f"localStorage.setItem('sarang.settings', {json.dumps(stored)})")
    one.page.goto(server.url + path)
    expect(one.find("html")).to_have_attribute("lang", "en")
    assert is_dark(one)


@PAGES
def test_where_nothing_can_be_stored_the_page_works_as_if_nothing_was_chosen(visitor, server, path):
    one = visitor(color_scheme="dark", locale="en-GB")
    one.page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })")
    one.page.goto(server.url + path)
    expect(one.find("html")).to_have_attribute("lang", "en")
    assert is_dark(one)


@PAGES
@pytest.mark.parametrize("locale, language, lang", [("ko-KR", "en", "en"), ("en-GB", "ko", "ko"), ("fr-FR", "ko", "ko"), ("fr-FR", "system", "en"), ("ja-JP", "system", "en")])
def test_a_language_that_was_chosen_wins_over_the_browser(visitor, server, path, locale, language, lang):
    one = chosen(visitor(locale=locale), language=language)
    one.page.goto(server.url + path)
    expect(one.find("html")).to_have_attribute("lang", lang)
    titles = {"/": ("사랑방", "Sarangbang"), "/dashboard": ("사랑방 현황판", "Sarangbang dashboard")}
    expect(one.page).to_have_title(titles[path][lang == "en"])


# The dialog


def open_settings(one):
    one.find("#open-settings").click()
    expect(one.find(".settings-sheet")).to_be_visible()
    return one.find(".settings-sheet")


@pytest.mark.parametrize("locale", ["ko-KR", "en-GB"])
def test_both_pages_call_themes_and_languages_alike(visitor, server, locale):
    one = visitor(locale=locale)
    one.page.goto(server.url)
    one.find("#entry-settings").click()
    expect(one.find(".settings-sheet")).to_be_visible()
    named = one.find(".settings-sheet .choice").evaluate_all("(all) => all.map((each) => [...each.querySelectorAll('legend, span')].map((part) => part.textContent))")
    one.page.goto(f"{server.url}/dashboard")
    expect(one.find("#language option").first).to_be_attached()
    assert named == one.find("#theme, #language").evaluate_all(
        "(all) => all.map((each) => [each.parentElement.querySelector('[data-t]').textContent, ...[...each.options].map((option) => option.textContent)])")


def test_a_theme_is_chosen_at_once_in_all_tabs_and_stays(visitor, server):
    one = visitor(viewport=DESKTOP, color_scheme="light").enter("나", "마당")
    board = type(one)(one.page.context.new_page(), one.url)
    board.page.goto(f"{server.url}/dashboard")
    open_settings(one).get_by_label("어둡게", exact=True).click()
    for page in (one, board):
        expect(page.find("html")).to_have_attribute("data-theme", "dark")
        assert is_dark(page)
    one.page.reload()
    one.is_in("마당")
    assert is_dark(one)
    open_settings(one).get_by_label("시스템대로", exact=True).click()
    expect(board.find("html")).to_have_attribute("data-theme", "light")
    assert not is_dark(one)
    assert board.unexpected_problems() == []


def test_where_nothing_can_be_stored_a_theme_lasts_as_long_as_the_page(visitor):
    one = visitor(viewport=DESKTOP, color_scheme="light")
    one.page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })")
    one.enter("나", "마당")
    open_settings(one).get_by_label("어둡게", exact=True).click()
    expect(one.find("html")).to_have_attribute("data-theme", "dark")
    one.page.keyboard.press("Escape")
    expect(open_settings(one).locator("input[value=dark]")).to_be_checked()


def test_a_language_is_chosen_and_what_is_being_written_is_kept(visitor):
    one = visitor(viewport=DESKTOP).enter("나", "마당")
    one.say("하나")
    one.find("#text").fill("아직 쓰는 중")
    open_settings(one).get_by_label("English", exact=True).click()
    expect(one.find("html")).to_have_attribute("lang", "en")
    expect(one.find("#state")).to_have_text("Connected")
    expect(one.find("#place")).to_have_text("마당")
    expect(one.find("#text")).to_have_value("아직 쓰는 중")
    one.sees("하나")
    expect(open_settings(one).locator("[data-choice=language][value=en]")).to_be_checked()
    one.find(".settings-sheet").get_by_label("Browser", exact=True).click()
    expect(one.find("html")).to_have_attribute("lang", "ko")


def test_a_language_that_is_spoken_already_needs_no_reload(visitor):
    one = visitor(viewport=DESKTOP).enter("나", "마당")
    one.page.evaluate("window.isTheSamePage = true")
    open_settings(one).get_by_label("한국어", exact=True).click()
    expect(one.find("[data-choice=language][value=ko]")).to_be_checked()
    one.page.keyboard.press("Escape")
    expect(one.find("#open-settings")).to_be_focused()
    assert one.page.evaluate("isTheSamePage") is True


def test_the_door_has_settings_too(visitor):
    one = visitor(locale="en-GB", color_scheme="light")
    one.page.goto(one.url)
    one.find("#entry-settings").click()
    expect(one.find(".settings-sheet")).to_be_visible()
    expect(one.find(".settings-sheet")).not_to_contain_text("Hidden people")
    one.find(".settings-sheet").get_by_label("Dark", exact=True).click()
    expect(one.find("html")).to_have_attribute("data-theme", "dark")
    one.find(".settings-sheet").get_by_label("한국어", exact=True).click()
    expect(one.find("#entry-settings")).to_have_text("설정")


def test_settings_are_used_with_the_keyboard(visitor):
    one = visitor(viewport=DESKTOP, color_scheme="light").enter("나", "마당")
    one.find("#open-settings").focus()
    one.page.keyboard.press("Enter")
    expect(one.find("[data-choice=theme][value=system]")).to_be_focused()
    one.page.keyboard.press("ArrowRight")
    one.page.keyboard.press("ArrowRight")
    expect(one.find("html")).to_have_attribute("data-theme", "dark")
    one.page.keyboard.press("Escape")
    expect(one.find(".settings-sheet")).to_have_count(0)
    expect(one.find("#open-settings")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("locale", ["ko-KR", "en-GB"])
def test_axe_finds_nothing_in_the_settings(visitor, scheme, viewport, locale):
    one = visitor(viewport=viewport, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    people = json.dumps(json.dumps([["guest 나", [["이웃", True], ["a name that is longer than most", False]]]]))
    one.page.add_init_script(f"if (!sessionStorage.length) localStorage.setItem('sarang.hidden', {people})")
    one.page.goto(one.url)
    one.find("#entry-settings").click()
    expect(one.find(".settings-sheet")).to_be_visible()
    assert violations(one) == [] and fits(one)
    one.page.keyboard.press("Escape")
    one.find("#name").fill("나")
    one.find("#enter").click()
    one.is_connected()
    if viewport is PHONE:
        one.find("#open-rooms").click()
    open_settings(one)
    expect(one.find(".hidden-people li")).to_have_count(2)
    assert violations(one) == [] and fits(one)


def test_in_forced_colours_a_dialog_and_a_drawer_have_an_edge(visitor):
    one = visitor(viewport=PHONE, forced_colors="active").enter("한사람")

    def has_edge(selector):
        expect(one.find(selector)).to_be_visible()
        return one.find(selector).evaluate("(element) => getComputedStyle(element).borderTopStyle") == "solid"

    one.find("#open-rooms").click()
    assert has_edge("#drawer")
    one.find("#open-settings").click()
    assert has_edge("dialog.sheet[open]")


@pytest.mark.parametrize("path", ["/", "/dashboard"])
def test_without_scripts_a_page_says_what_it_needs(visitor, server, path):
    page = visitor(java_script_enabled=False).page
    page.goto(server.url + path)
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.locator("noscript p")).to_contain_text(re.compile("자바스크립트를 켜야.*Please turn JavaScript on"))
