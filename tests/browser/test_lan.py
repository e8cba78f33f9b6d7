"""The pages by plain http at an address that is not this machine's own, where browsers have no secure context: a class on
one network, with README's lines."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from conftest import BIN, CHROMIUM, CHROMIUM_ARGS, CUT, REFUSED, WAIT_MS, Server, Visitor
from test_chat import PHONE, fits

README = Path(__file__).parents[2] / "README.md"
# What Chromium takes for an address elsewhere; it is led to this machine.
NAME = "school.example"
PASSWORD = "칠판 지우개 3"


@pytest.fixture
def classroom(tmp_path):
    (line,) = re.findall(r"^(sarang .*--listen 0\.0\.0\.0:8000)$", README.read_text(), re.M)[-1:]
    people = tmp_path / "people"
    subprocess.run([BIN, "user", "add", "선생님", "--users", people], input=PASSWORD + "\n", text=True, check=True, capture_output=True)
    # Only this machine shall reach it, so it answers for its own names, and for this one.
    options = line.replace("people", shlex.quote(str(people))).removesuffix("--listen 0.0.0.0:8000")
    server = Server(*shlex.split(options)[1:], "--host", NAME)
    yield server
    server.kill()


@pytest.fixture
def pupil(browser, classroom):
    """Makes visitors from elsewhere."""
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    elsewhere = browser.browser_type.launch(executable_path=CHROMIUM, args=[*CHROMIUM_ARGS, rules])
    made = []

    def make(**options):
        context = elsewhere.new_context(locale="ko-KR", **options)
        context.set_default_timeout(WAIT_MS)
        made.append(Visitor(context.new_page(), f"http://{NAME}:{classroom.port}/"))
        return made[-1]

    yield make
    problems = [problem for one in made for problem in one.unexpected_problems()]
    elsewhere.close()
    assert problems == []


def come_in(one, name):
    """As a guest: the form for accounts is shown first."""
    one.page.goto(one.url)
    assert one.page.evaluate("isSecureContext") is False
    one.find("#other-way-button").click()
    one.find("#name").fill(name)
    one.find("#enter").click()


def sign_in(one):
    one.page.goto(one.url)
    one.find("#account").fill("선생님")
    one.find("#password").fill(PASSWORD)
    one.find("#sign-in").click()
    one.is_connected()


def test_a_class_talks_by_plain_http(pupil):
    teacher, hong, kim = pupil(), pupil(), pupil()
    sign_in(teacher)
    teacher.create_or_join("3학년 2반")
    for one, name in [(hong, "홍길동"), (kim, "김철수")]:
        come_in(one, name)
        one.is_connected()
        one.find("#others button", has_text="3학년 2반").click()
        one.is_in("3학년 2반")
    hong.page.set_viewport_size(PHONE)
    hong.say("저 왔어요")
    kim.sees("저 왔어요")
    teacher.say("어서 오세요")
    hong.sees("어서 오세요")
    assert fits(hong)
    # Ids and keys are as good as in a secure context: the key holds the name over a reload, and against others.
    kim.expects(*CUT).page.reload()
    kim.is_connected()
    kim.sees("저 왔어요")
    stranger = pupil()
    come_in(stranger, "김철수")
    expect(stranger.find("#entry-error")).not_to_be_empty()
    expect(stranger.find("#house")).to_be_hidden()


def test_the_teacher_sees_the_dashboard_there(pupil):
    teacher = pupil()
    sign_in(teacher)
    # The page asks without a ticket first.
    teacher.expects(*CUT, *REFUSED).page.goto(f"{teacher.url}dashboard")
    assert teacher.page.evaluate("isSecureContext") is False
    expect(teacher.find("#state")).to_have_class("state is-connected")
