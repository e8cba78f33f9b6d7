"""How the text of messages is shown: code, quotes, addresses; and how it is copied."""

import re

from playwright.sync_api import expect

# Parses texts made of marks with a small generator of pseudo-random numbers, and returns those whose tokens are not the text.
LOSSES = """async ({ parts, rounds }) => {
  const { parse } = await import('/static/markup.js');
  let state = 20261127;
  const below = (n) => { state = (Math.imul(state, 1103515245) + 12345) >>> 0; return (state >>> 8) % n; };
  const mentions = { at: (text, index) => (text.startsWith('영희', index) ? { length: 2, own: true } : null) };
  const written = (tokens) => tokens.map(({ text }) => text).join('');
  const unquoted = (text) => text.match(/[^\\n]*\\n|[^\\n]+$/g).map((line) => line.replace(/^> ?/, '')).join('');
  const isWhole = (text, tokens) => written(tokens) === text
    && tokens.every((token) => token.kind !== 'quote' || isWhole(unquoted(token.text), token.content));
  const losses = [];
  const kinds = new Set();
  for (let round = 0; round < rounds; round += 1) {
    const text = Array.from({ length: below(40) }, () => parts[below(parts.length)]).join('');
    const tokens = parse(text, mentions);
    tokens.forEach(({ kind }) => kinds.add(kind));
    if (!isWhole(text, tokens)) losses.push(text);
  }
  return { losses, kinds: [...kinds].sort() };
}"""

PARTS = ["`", "``", "```", "```\n", "```js\n", "\n", "> ", ">", ">\n", " ", "\t", "가", "x", "(", ")", ".", "@", "@영희", "www.", "www.a.kr", "에서", "https://", "http://b.kr/c", "<b>",
         "\r\n", "\u3000", "😀", "\ud800"]


def test_whatever_the_marks_nothing_of_a_text_is_lost(visitor):
    one = visitor().with_modules()
    one.page.goto(one.url)
    found = one.page.evaluate(LOSSES, {"parts": PARTS, "rounds": 20_000})
    assert found["losses"] == []
    assert found["kinds"] == ["block", "code", "link", "mention", "quote", "text"]


def test_a_message_made_to_be_slow_is_shown_with_everything_else(visitor):
    one = visitor().enter("한사람", "느린 방")
    for text in ("`" * 4096, "> " * 2048, ">\n" * 2000 + "끝", "```\n" * 1024, "http://a" + ")" * 4000, "www.a.kr가" * 400, "www." * 1024, "@" * 4096, "`a` " * 1024):
        one.write(text)
        expect(one.find(".outgoing li")).to_have_count(0)
    one.say("아직 여기 있습니다")
    expect(one.find(".messages .bubble")).to_have_count(10)


def test_code_within_a_line_is_set_apart_and_unbalanced_marks_stay_text(visitor):
    one = visitor().enter("한사람", "코드")
    one.write("`ls -l`을 쓰고 ``a ` b``도, `열기만")
    expect(one.find(".bubble code")).to_have_text(["ls -l", "a ` b"])
    expect(one.find(".bubble")).to_have_text("ls -l을 쓰고 a ` b도, `열기만")


def test_a_code_block_keeps_its_spaces_and_is_copied_with_a_button(visitor):
    one = visitor().enter("한사람", "코드")
    one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = "  두 칸\n\t탭 https://example.org `x` @한사람\n<b>굵게?</b>"
    # Not on its way any more: another element takes its place when it has arrived, without what was said in the first one.
    one.write(f"보세요:\n```python\n{code}\n```\n어떤가요?")
    one.sees("어떤가요?")
    expect(one.find(".outgoing li")).to_have_count(0)
    block = one.find(".bubble pre")
    assert block.text_content() == code
    assert one.find(".bubble").inner_text().startswith("보세요:\n")
    expect(one.find(".bubble a, .bubble b, .bubble .mention")).to_have_count(0)
    expect(block).to_have_attribute("aria-label", "코드 (python)")
    expect(block).to_have_css("white-space", "pre")
    one.noting(".copied")
    one.page.get_by_role("button", name="코드 복사").click()
    one.has_noted(".copied", "복사했습니다")
    assert one.page.evaluate("navigator.clipboard.readText()") == code


def test_only_code_that_is_wider_than_its_place_is_a_tab_stop(visitor):
    one = visitor(viewport={"width": 1280, "height": 800}).enter("한사람", "코드")
    for line in ("짧은 줄", "긴 줄 " * 60):
        one.write(f"```\n{line}\n```")
    # Not those on their way: another element takes the place of each when it has arrived, and the focus would be lost.
    blocks = one.find(".messages:not(.outgoing) pre")
    expect(blocks).to_have_count(2)
    expect(blocks.nth(1)).to_have_attribute("tabindex", "0")
    assert blocks.nth(0).get_attribute("tabindex") is None
    blocks.nth(1).focus()
    one.page.keyboard.press("ArrowRight")
    one.page.wait_for_function("() => document.activeElement.scrollLeft > 0")


def test_a_code_block_is_copied_where_the_clipboard_is_not_offered(visitor):
    one = visitor()
    one.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    one.enter("한사람", "코드")
    one.write("```\n  한 줄\n```")
    one.sees("한 줄")
    expect(one.find(".outgoing li")).to_have_count(0)
    one.noting(".copied")
    one.page.get_by_role("button", name="코드 복사").click()
    one.has_noted(".copied", "복사했습니다")
    one.find("#text").press("ControlOrMeta+v")
    expect(one.find("#text")).to_have_value("  한 줄")


def test_spaces_before_the_first_word_are_sent(visitor):
    one = visitor().enter("한사람", "코드")
    one.find("#text").fill("\n \n    if x:\n        y()\n\n  ")
    one.find("#text").press("Enter")
    expect(one.find(".message.mine .bubble")).to_have_count(1)
    assert one.find(".bubble").text_content() == "    if x:\n        y()"


def test_what_nobody_could_see_is_not_sent(visitor):
    one = visitor().enter("한사람", "코드")
    for text in ("\n \n", "\u3164", "\u200b\n\u2800"):
        one.find("#text").fill(text)
        expect(one.find("#send")).to_have_attribute("aria-disabled", "true")
        one.find("#text").press("Enter")
        expect(one.find("#text")).to_have_value(text)
    one.say("보이는 글")
    expect(one.find(".message.mine")).to_have_count(1)


def test_lines_behind_a_bracket_are_a_quote_and_faces_are_not(visitor):
    one = visitor().enter("한사람", "인용")
    one.find("#text").fill("> 어제 한 말\n> > 그제 한 말\n그랬지요 >_<\n>_<")
    one.find("#text").press("Enter")
    expect(one.find(".bubble > blockquote")).to_have_count(1)
    expect(one.find(".bubble > blockquote > blockquote")).to_have_text("그제 한 말")
    expect(one.find(".bubble")).to_contain_text("그랬지요 >_<\n>_<")


def test_an_address_without_its_scheme_is_a_link_too(visitor):
    one = visitor().enter("한사람", "링크")
    one.write("(www.example.org/a), a@www.example.org www.x javascript://www.example.org/ `www.example.org`")
    link = one.find(".bubble a")
    expect(link).to_have_count(1)
    expect(link).to_have_text("www.example.org/a")
    expect(link).to_have_attribute("href", "https://www.example.org/a")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


def test_a_particle_right_behind_a_host_is_no_part_of_the_address(visitor):
    one = visitor().enter("한사람", "링크")
    addresses = {
        "www.example.org에서 봐요": "https://www.example.org", "(https://example.org입니다)": "https://example.org", "http://127.0.0.1:8000으로": "http://127.0.0.1:8000",
        "http://localhost입니다.": "http://localhost", "https://example.org입니다.그리고": "https://example.org",
        "https://www.abc한글.com 은": "https://www.abc한글.com", "https://한글.한국": "https://한글.한국", "https://example.org/위키/한글": "https://example.org/위키/한글",
    }  # fmt: skip
    for text, href in addresses.items():
        one.say(text)
        expect(one.find(".bubble").last).to_have_text(text)
        expect(one.find(".bubble").last.locator("a")).to_have_attribute("href", href)


def test_where_addresses_cannot_be_checked_a_link_is_shown_all_the_same(visitor):
    one = visitor()
    one.page.add_init_script("delete URL.canParse")
    one.enter("한사람", "옛 브라우저")
    one.write("http://[ https://example.org/")
    expect(one.find(".bubble a")).to_have_text("https://example.org/")


def test_a_message_that_cannot_be_formatted_is_shown_as_it_was_written(visitor):
    one = visitor()
    one.page.add_init_script("const { match } = String.prototype; String.prototype.match = function (...p) { if (this.includes('고장')) throw new Error('고장'); return match.apply(this, p); }")
    one.enter("한사람", "방")
    one.write("`하나` 고장")
    one.write("둘 `셋`")
    one.sees("`하나` 고장")
    expect(one.find(".bubble code")).to_have_text(["셋"])


# Copying

SELECT = """([from, to]) => {
  const nodes = [];
  const walker = document.createTreeWalker(document.querySelector('.log'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) nodes.push(walker.currentNode);
  const [start, end] = [from, to].map((text) => nodes.find(({ data }) => data.includes(text)));
  getSelection().setBaseAndExtent(start, start.data.indexOf(from), end, end.data.indexOf(to) + to.length);
}"""

# What is written to the clipboard, by its types.
COPIED = """async () => {
  const [item] = await navigator.clipboard.read();
  return Promise.all(item.types.map(async (type) => [type, await (await item.getType(type)).text()]));
}"""


def copies(one, start, end):
    one.page.evaluate(SELECT, [start, end])
    one.page.keyboard.press("ControlOrMeta+c")
    return one.page.evaluate(COPIED)


def test_a_copied_passage_has_names_and_times_as_people_write_them(visitor):
    one, friend = visitor(), visitor().enter("영희", "복사")
    one.enter("홍길동", "복사")
    one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    friend.say("처음 한 말")
    one.say("안녕하세요\n반갑습니다")
    one.write("```\n  코드\n```\n끝")
    friend.sees("끝")
    friend.write("> 코드\n좋네요 <b>정말</b>")
    one.sees("좋네요")
    expect(one.find(".outgoing li")).to_have_count(0)
    [(kind, text)] = copies(one, "한 말", "좋네요")
    assert kind == "text/plain"
    lines = [re.sub(r" [0-2][0-9]:[0-5][0-9]$", " 시각", line) for line in text.split("\n")]
    # Whoever goes on within the minute is not named again.
    said = ["영희 시각", "한 말", "홍길동 시각", "안녕하세요", "반갑습니다", "홍길동 시각", "  코드", "끝", "영희 시각", "> 코드", "좋네요", ""]
    assert lines in (said, said[:5] + said[6:])


def test_what_is_copied_of_one_message_is_only_its_text(visitor):
    one = visitor().enter("홍길동", "복사")
    one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.say("보세요 https://example.org/ 여기")
    assert copies(one, "세요", "example.org") == [["text/plain", "세요 https://example.org"]]


def test_whoever_selects_all_while_reading_copies_the_conversation(visitor):
    one = visitor(viewport={"width": 1280, "height": 800}).enter("홍길동", "복사")
    one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.say("하나")
    one.say("둘")
    one.find(".log").focus()
    one.page.keyboard.press("ControlOrMeta+a")
    one.page.keyboard.press("ControlOrMeta+c")
    [(kind, text)] = one.page.evaluate(COPIED)
    assert kind == "text/plain"
    lines = text.splitlines()
    assert [line for line in lines if not line.startswith("홍길동 ")] == ["하나", "둘"]
