"""The log of the chat page: what nobody's message, coming or going can do to it, what was said earlier, links to messages."""

import pytest
from playwright.sync_api import expect

# What older browsers lack, or what fails in them.
LACKING = {
    "no Segmenter": "delete Intl.Segmenter",
    "a Segmenter that throws": "Intl.Segmenter = class { segment() { throw new Error('broken') } }",
    "no canParse": "delete URL.canParse",
}


@pytest.mark.parametrize("script", LACKING.values(), ids=LACKING.keys())
def test_a_browser_that_lacks_a_function_shows_every_message(visitor, script):
    one, friend = visitor(), visitor().enter("친구", "마당")
    one.page.add_init_script(script)
    one.enter("🇰🇷 나", "마당")
    expect(one.find("#my-seal")).to_have_text("🇰🇷")
    said = ["하나", "https://example.org/ 와 http://[ 를 보세요", "셋"]
    for text in said:
        friend.say(text)
    one.sees_in_order(said)
    expect(one.find(".message .seal")).to_have_text("친")
    expect(one.find(".bubble a")).to_have_attribute("href", "https://example.org/")


def test_a_message_that_cannot_be_shown_does_not_stop_the_others(visitor):
    one, friend = visitor().expects("no time"), visitor().enter("친구", "마당")
    # A function fails at one message, as a fault of the page or of the browser would let it.
    one.page.add_init_script("""
        const { toISOString } = Date.prototype;
        Date.prototype.toISOString = function () { if (window.broken) throw new Error('no time'); return toISOString.call(this); };
    """)
    one.enter("나", "마당")
    friend.say("하나")
    one.sees("하나")
    one.page.evaluate("window.broken = true")
    friend.say("둘 <b>굵게</b>")
    one.sees("둘 <b>굵게</b>")
    one.page.evaluate("window.broken = false")
    friend.say("셋")
    one.sees_in_order(["하나", "둘 <b>굵게</b>", "셋"])
    expect(one.find(".bubble b")).to_have_count(0)
