"""The pictures of README: what the pages look like, taken here. `SARANG_PICTURES=write` writes them; else those that are kept are
compared with the pages as they are, coarsely, since fonts and live values differ.

    SARANG_PICTURES=write pytest tests/browser/test_pictures.py
"""

import os
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

PICTURES = Path(__file__).parent / "pictures"
SIZE = {"width": 1120, "height": 700}
# Of both together: README is read over slow networks, too.
BYTES_MAX = 150_000
COLOURS = 128
# The mean difference of the brightness of what is compared, out of 255: a page in the other theme, or with its parts elsewhere, is far
# above it.
DIFFERENCE_MAX = 12


def brightness(picture):
    """On a coarse grid."""
    return picture.convert("L").resize((56, 35), Image.Resampling.BOX).tobytes()


def is_as_kept(name, visitor):
    """Writes the picture of the page, or compares it with the one that is kept."""
    visitor.page.mouse.move(0, 0)
    visitor.settles()
    picture = Image.open(BytesIO(visitor.page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    kept = PICTURES / f"{name}.png"
    if os.environ.get("SARANG_PICTURES") == "write":
        PICTURES.mkdir(exist_ok=True)
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(kept, optimize=True)
    pairs = list(zip(brightness(picture), brightness(Image.open(kept)), strict=True))
    difference = sum(abs(one - other) for one, other in pairs) / len(pairs)
    assert difference < DIFFERENCE_MAX, f"{name}.png is old: write it again (see above)"


def test_the_picture_of_the_chat_in_readme_is_what_one_sees(visitor):
    gildong = visitor(viewport=SIZE, color_scheme="light").enter("길동", "사랑방")
    others = {name: visitor().enter(name, "사랑방") for name in ("영희", "철수", "Grace")}
    others["영희"].say("어서 오세요! 오늘 모임 자료는 여기에 두었어요: https://example.org/notes")
    others["철수"].write("고맙습니다. 서버는 이렇게 켜면 되지요?\n```sh\ncargo run --release\n```")
    gildong.sees("cargo run --release")
    gildong.write("> 서버는 이렇게 켜면 되지요?\n네, 그러면 `127.0.0.1:8000` 에서 기다립니다.")
    gildong.sees("에서 기다립니다.")
    others["Grace"].write("Works on my Raspberry Pi, too. @길동 could you look at the dashboard?")
    gildong.sees("Works on my")
    gildong.say("네, 지금 보고 있어요.")
    expect(gildong.find("#persons li")).to_have_count(4)
    is_as_kept("chat", gildong)


def test_the_picture_of_the_dashboard_in_readme_is_what_one_sees(visitor, server):
    page = visitor(viewport=SIZE, color_scheme="dark")
    page.page.goto(f"{server.url}/dashboard")
    expect(page.find("#state")).to_have_class("state is-connected")
    page.find("#windows label").first.click()  # of the last minute
    guests = [visitor().enter(name, "사랑방") for name in ("길동", "영희")]
    for number in range(70 if os.environ.get("SARANG_PICTURES") == "write" else 1):
        page.page.request.get(f"{server.url}/rooms")
        guests[number % 2].say(f"{number + 1}번째 글")
        # Until the next measurement of the whole machine, which comes each second.
        page.page.evaluate("new Promise((resolve) => setTimeout(resolve, 1000))")
    is_as_kept("dashboard", page)


def test_the_pictures_of_readme_are_small():
    sizes = [picture.stat().st_size for picture in PICTURES.glob("*.png")]
    assert len(sizes) == 2 and sum(sizes) <= BYTES_MAX, sizes
