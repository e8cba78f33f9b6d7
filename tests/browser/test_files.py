"""The files of the pages in a real browser: which are asked for, how often, and how many bytes they are."""

import json
import urllib.request
from urllib.parse import urlsplit

import pytest

from test_dashboard import is_live

# The content of all that the chat page needs at its first visit, compressed.
FIRST_VISIT_BYTES_MAX = 85_000
# Each costs a browser some milliseconds.
FIRST_VISIT_FILES_MAX = 6


@pytest.fixture
def asked(browser):
    """Notes what a page asks the server for, below HTTP caches: (path, bytes of content on the wire)."""

    def note(page):
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        paths, heads, cached, answers = {}, {}, set(), []

        def sent(event):
            paths[event["requestId"]] = urlsplit(event["request"]["url"])

        def answered(event):
            response = event["response"]
            heads[event["requestId"]] = response["encodedDataLength"]
            if response.get("fromDiskCache") or response.get("fromPrefetchCache"):
                cached.add(event["requestId"])

        def finished(event):
            url = paths.get(event["requestId"])
            if url and url.scheme.startswith("http") and event["requestId"] not in cached:
                answers.append((url.path, event["encodedDataLength"] - heads.get(event["requestId"], 0)))

        session.on("Network.requestWillBeSent", sent)
        session.on("Network.requestServedFromCache", lambda event: cached.add(event["requestId"]))
        session.on("Network.responseReceived", answered)
        session.on("Network.loadingFinished", finished)
        return answers

    return note


def is_file(path):
    return not path.startswith(("/auth", "/sse", "/rooms", "/ws", "/series"))


def test_a_reload_of_the_chat_page_asks_for_nothing_but_the_page(visitor, asked, server):
    one = visitor()
    answers = asked(one.page)
    one.enter("길동")
    first = [(path, length) for path, length in answers if is_file(path)]
    paths = [path for path, _ in first]
    assert "/" in paths and len(paths) <= FIRST_VISIT_FILES_MAX, paths
    assert len(set(paths)) == len(paths), "a file is asked for twice"
    assert sum(length for _, length in first) < FIRST_VISIT_BYTES_MAX, first

    answers.clear()
    one.page.reload()
    one.is_connected()
    again = [(path, length) for path, length in answers if is_file(path)]
    assert [path for path, _ in again] == ["/"], again
    # 304: the page is the same.
    assert again[0][1] == 0, again


def test_a_visit_to_the_dashboard_and_back_asks_for_each_part_once(visitor, asked):
    one = visitor()
    answers = asked(one.page)
    one.enter("길동")
    one.page.goto(f"{one.url}/dashboard")
    is_live(one)
    one.page.reload()
    is_live(one)
    parts = [path for path, _ in answers if path.startswith("/static/")]
    assert len(parts) >= 6, parts
    assert len(set(parts)) == len(parts), "a part is asked for twice"


@pytest.mark.parametrize("path", ["/", "/dashboard"])
def test_a_page_has_one_script_and_one_that_comes_before_it_is_painted(visitor, path):
    one = visitor()
    one.page.goto(one.url + path)
    one.page.wait_for_function("() => document.readyState === 'complete'")
    loaded = one.page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => name.endsWith('.js'))")
    names = sorted(urlsplit(url).path.split("/")[-1].split(".")[0] for url in loaded)
    assert names == [{"/": "chat", "/dashboard": "dashboard"}[path], "theme"]


def test_the_browser_finds_the_manifest_and_its_icons(visitor, server):
    one = visitor()
    one.page.goto(one.url)
    session = one.page.context.new_cdp_session(one.page)
    found = session.send("Page.getAppManifest")
    assert found["errors"] == []
    assert found["url"].startswith(f"{server.url}/static/manifest.")
    for icon in json.loads(found["data"])["icons"]:
        with urllib.request.urlopen(f"{server.url}/static/{icon['src']}") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == icon["type"]


OWN_PAGE = """async (url) => {
  const { Sarang } = await import(`${url}/static/sarang.js`);
  const chat = new Sarang({ url: `${url.replace('http', 'ws')}/ws?username=own` });
  return typeof chat.say;
}"""


class TestOfAnotherOrigin:
    @pytest.fixture
    def server_options(self, make_site):
        return ("--allow-origin", make_site)

    @pytest.fixture
    def make_site(self):
        """A page of another origin, without a policy of its own."""
        import http.server
        import threading

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>own</title>")

            def log_message(self, *_):
                pass

        site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()

    def test_an_own_page_imports_the_module_from_the_server(self, visitor, server, make_site):
        one = visitor(make_site)
        one.page.goto(make_site + "/own")
        assert one.page.evaluate(OWN_PAGE, server.url) == "function"
