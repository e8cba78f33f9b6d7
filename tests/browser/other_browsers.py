"""Firefox and WebKitGTK as their distribution ships them, through the protocols that they speak themselves: WebDriver BiDi
(https://w3c.github.io/webdriver-bidi/) and WebDriver (https://w3c.github.io/webdriver/)."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

# Not a threshold: after this time, an expected change will never come.
WAIT_S = 60
ENTER = "\ue007"
ESCAPE = "\ue00c"
TAB = "\ue004"
# The key of an element in what WebDriver sends.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def end(process):
    """Ends a process with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Page:
    """A page in one of them. Expressions are JavaScript, and what they give is JSON."""

    def until(self, expression):
        """Waits until the expression is truthy, and returns it."""
        until = time.monotonic() + WAIT_S
        while not (value := self.evaluate(expression)):
            if time.monotonic() > until:
                raise AssertionError(f"{type(self).__name__}: {expression} does not become true; the page shows: {self.text()}")
            time.sleep(0.05)
        return value

    def text(self):
        return self.evaluate("document.body.innerText")

    def sees(self, text, selector="body"):
        self.until(f"[...document.querySelectorAll({json.dumps(selector)})].some((one) => one.textContent.includes({json.dumps(text)}))")

    def is_shown(self, selector):
        self.until(f"document.querySelector({json.dumps(selector)})?.getClientRects().length > 0")

    def fill(self, selector, text):
        self.click(selector)
        self.evaluate(f"void document.querySelector({json.dumps(selector)}).select()")
        self.type(text)


class Firefox(Page):
    """By WebDriver BiDi, which the browser itself serves."""

    def __init__(self, binary, locale="ko-KR"):
        self.profile = tempfile.mkdtemp(prefix="firefox-")
        preferences = {"intl.accept_languages": locale, "browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False,
                       "app.update.enabled": False, "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
                       "browser.aboutwelcome.enabled": False, "toolkit.telemetry.reportingpolicy.firstRun": False}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
        Path(self.profile, "user.js").write_text("".join(lines))
        self.process = subprocess.Popen(
            [binary, "--headless", "--no-remote", "--profile", self.profile, "--remote-debugging-port", "0"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True, env={**os.environ, "HOME": self.profile})
        for line in self.process.stderr:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                break
        else:
            raise RuntimeError(f"{binary} ended with {self.process.wait()}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.resources = contextlib.ExitStack()
        # On a busy machine it may be silent for long.
        self.socket = self.resources.enter_context(connect(f"{found[1]}/session", max_size=None, open_timeout=WAIT_S, ping_interval=None))
        self.asked = 0
        self.problems = []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method, **parameters):
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(WAIT_S))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.problems.append(answer["params"]["text"])
            if answer.get("id") == self.asked:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['error']}: {answer['message']}")
                return answer["result"]

    def open(self, url):
        self.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def reload(self):
        self.ask("browsingContext.reload", context=self.context, wait="complete")

    def back(self):
        self.ask("browsingContext.traverseHistory", context=self.context, delta=-1)

    def resize(self, width, height):
        self.ask("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def _run(self, expression):
        answer = self.ask("script.evaluate", expression=expression, target={"context": self.context}, awaitPromise=True, userActivation=True)
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return answer["result"]

    def evaluate(self, expression):
        result = self._run(f"Promise.resolve({expression}).then((value) => JSON.stringify(value))")
        return json.loads(result["value"]) if result["type"] == "string" else None

    def click(self, selector):
        self.is_shown(selector)
        element = self._run(f"document.querySelector({json.dumps(selector)})")
        self.evaluate(f"void document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'nearest' }})")
        origin = {"type": "element", "element": {"sharedId": element["sharedId"]}}
        self._perform("pointer", [{"type": "pointerMove", "x": 0, "y": 0, "origin": origin}, {"type": "pointerDown", "button": 0},
                                  {"type": "pointerUp", "button": 0}])

    def type(self, text):
        self._perform("key", [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")])

    def _perform(self, kind, actions):
        self.ask("input.performActions", context=self.context, actions=[{"type": kind, "id": kind, "actions": actions}])

    def close(self):
        self.resources.close()
        end(self.process)
        shutil.rmtree(self.profile, ignore_errors=True)


class WebKit(Page):
    """WebKitGTK's small browser by WebDriver, on a display of its own. It does not tell what stands in its console: the page
    collects that itself, from when it was opened."""

    def __init__(self, driver, browser, locale="ko-KR"):
        self.home = tempfile.mkdtemp(prefix="webkit-")
        environment = {**os.environ, "HOME": self.home, "XDG_RUNTIME_DIR": self.home, "LIBGL_ALWAYS_SOFTWARE": "1", "GDK_BACKEND": "x11",
                       "LANGUAGE": locale.replace("-", "_"), "NO_AT_BRIDGE": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1", "GSETTINGS_BACKEND": "memory"}
        environment.pop("WAYLAND_DISPLAY", None)
        self.processes = []
        read, write = os.pipe()
        self._start(["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"], environment, (write,))
        os.close(write)
        with open(read) as display:
            environment["DISPLAY"] = f":{display.readline().strip()}"
        # It prints nothing when it listens, and takes no port 0.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._start([driver, f"--port={port}"], environment)
        until = time.monotonic() + WAIT_S
        while True:
            try:
                self._request("GET", "/status")
                break
            except OSError:
                assert time.monotonic() < until, f"{driver} does not listen"
                time.sleep(0.05)
        options = {"binary": browser, "args": ["--automation"]}
        session = self._request("POST", "/session", {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}})
        self.session = f"/session/{session['sessionId']}"
        self._request("POST", f"{self.session}/timeouts", {"script": WAIT_S * 1000, "pageLoad": WAIT_S * 1000})

    def _start(self, command, environment, keep=()):
        self.processes.append(subprocess.Popen(command, env=environment, pass_fds=keep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                               start_new_session=True))

    def _request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=2 * WAIT_S) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()}") from None

    def open(self, url):
        self._request("POST", f"{self.session}/url", {"url": url})

    def reload(self):
        self._request("POST", f"{self.session}/refresh", {})

    def back(self):
        self._request("POST", f"{self.session}/back", {})

    def resize(self, width, height):
        self._request("POST", f"{self.session}/window/rect", {"width": width, "height": height})

    def evaluate(self, expression):
        script = f"const done = arguments[0]; Promise.resolve({expression}).then((value) => done(JSON.stringify(value)), (error) => done(null))"
        answer = self._request("POST", f"{self.session}/execute/async", {"script": script, "args": []})
        return None if answer is None else json.loads(answer)

    def _element(self, selector):
        return self._request("POST", f"{self.session}/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.is_shown(selector)
        self._request("POST", f"{self.session}/element/{self._element(selector)}/click", {})

    def type(self, text):
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._request("POST", f"{self.session}/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys}]})

    def close(self):
        try:
            self._request("DELETE", self.session)
        finally:
            for process in reversed(self.processes):
                end(process)
            shutil.rmtree(self.home, ignore_errors=True)


def firefox():
    """Where Firefox is, if it is."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


def webkit():
    """Where WebKitGTK's driver and its small browser are, if they are."""
    browsers = sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"))
    driver = shutil.which("WebKitWebDriver")
    return (driver, str(browsers[-1])) if driver and browsers and shutil.which("Xvfb") else None
