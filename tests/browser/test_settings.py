"""What a person may choose for themselves: the theme and the language, in this browser and in all its tabs."""

import json

import pytest
from playwright.sync_api import expect

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
