"""The page that README shows under "Your own page", as it stands there but for the server's address, on a site of another origin."""

import http.server
import json
import re
import threading
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

README = Path(__file__).parents[2] / "README.md"
LINES_MAX = 40


def written():
    section = README.read_text().split("\n## Your own page\n")[1].split("\n## ")[0]
    (page,) = re.findall(r"^```html\n(.*?)^```$", section, re.M | re.S)
    return page


@pytest.fixture
def site():
    """Serves `site.files`, path → text, on a port of its own."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = site.files.get(self.path, "").encode()
            self.send_response(200 if body else 204)
            self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    site.origin = f"http://127.0.0.1:{site.server_port}"
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield site
    site.shutdown()
    site.server_close()


@pytest.fixture
def server_options(site):
    return ("--allow-origin", site.origin)


@pytest.fixture
def own_page(site, server, visitor):
    site.files = {"/": written().replace("127.0.0.1:8000", server.url.removeprefix("http://"))}

    def open_it(is_connected=True):
        one = visitor(site.origin)
        one.page.goto(site.origin)
        if is_connected:
            expect(one.find("#state")).to_have_text("connected")
        return one

    return open_it


def test_it_is_short():
    assert written().count("\n") <= LINES_MAX


def test_people_on_it_talk_with_each_other_and_with_those_on_the_servers_page(own_page, visitor):
    one, other = own_page(), own_page()
    guest = visitor().enter("길동", "tech")
    one.find("#text").fill("<b>hello</b>")
    one.find("#text").press("Enter")
    for own in (one, other):
        expect(own.find("#log li")).to_have_text([re.compile(r"^visitor-\w{4}: <b>hello</b>$")])
    guest.sees("<b>hello</b>")
    guest.say("반갑습니다")
    for own in (one, other):
        expect(own.find("#log li").last).to_have_text("길동: 반갑습니다")
    late = own_page()
    expect(late.find("#log li")).to_have_count(2)


def test_it_goes_on_after_the_server_was_started_anew_and_says_what_was_not_sent(own_page, server):
    one = own_page()
    one.expects("WebSocket connection to", "ERR_CONNECTION")
    server.kill()
    expect(one.find("#state")).to_have_text(re.compile("reconnecting|connecting"))
    one.find("#text").fill("said meanwhile")
    one.find("#text").press("Enter")
    server.start()
    one.page.evaluate("dispatchEvent(new Event('online'))")
    expect(one.find("#log li")).to_have_text([re.compile("said meanwhile")])
    one.find("#text").fill("x" * 5000)
    one.find("#text").press("Enter")
    expect(one.find("#state")).to_have_text(re.compile("^Not sent, content_too_long: x+"))


def test_it_says_why_it_is_not_in_the_room(own_page, server):
    body = json.dumps({"name": "tech", "max_users": 1}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/rooms", body, {"Content-Type": "application/json"})).close()
    own_page()
    server.has_room("tech", 1)
    expect(own_page(is_connected=False).find("#state")).to_have_text("Not in the room: room_full")


def test_the_module_works_in_a_worker(own_page, site, server):
    one = own_page()
    site.files["/worker.js"] = f"""
      import {{ Sarang, events }} from '{server.url}/static/sarang.js';
      const chat = new Sarang({{ url: '{server.url}/ws?username=worker' }});
      await chat.join('tech');
      await chat.say('tech', 'from a worker');
      for await (const {{ data }} of events('{server.url}/sse/system')) {{ postMessage(typeof data.cpu); break; }}
      chat.close();
    """
    told = one.page.evaluate("new Promise((resolve) => { new Worker('/worker.js', { type: 'module' }).onmessage = ({ data }) => resolve(data); })")
    assert told == "number"
    expect(one.find("#log li")).to_have_text(["worker: from a worker"])


def test_a_page_of_an_origin_that_is_not_named_gets_nothing(own_page, site, visitor):
    one = visitor(site.origin).expects("CORS policy", "ERR_FAILED")
    with one.page.expect_console_message(lambda message: "CORS policy" in message.text):
        one.page.goto(site.origin.replace("127.0.0.1", "localhost"))
    expect(one.find("#state")).to_be_empty()
