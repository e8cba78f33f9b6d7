"""A server whose event streams and series are in the hands of a test; all else is the real server's."""

import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECTIONS = {"system_metrics": "system", "api_metrics": "api", "business_metrics": "business"}


def timestamp(at):
    milliseconds = round(at * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03}Z"


class Staged:
    """Every stream is sent all events that are told, before and after it opens."""

    def __init__(self, server):
        self.events = []
        self.series = None
        self.is_open = True
        self.news = threading.Condition()
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                if path == "/series":
                    self._answer("application/json", json.dumps(stage.series).encode())
                elif path.startswith("/sse/"):
                    self._stream()
                else:
                    self._pass_on()

            def do_HEAD(self):
                self.send_response(200)
                self.end_headers()

            def _answer(self, kind, body, headers=()):
                self.send_response(200)
                for name, value in (("Content-Type", kind), ("Content-Length", len(body)), *headers):
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def _pass_on(self):
                with urllib.request.urlopen(server.url + self.path) as response:
                    policy = response.headers["Content-Security-Policy"]
                    headers = [("Content-Security-Policy", policy)] if policy else []
                    self._answer(response.headers["Content-Type"], response.read(), headers)

            def _stream(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                sent = 0
                while stage.is_open:
                    with stage.news:
                        stage.news.wait_for(lambda: len(stage.events) > sent or not stage.is_open)
                        new, sent = stage.events[sent:], len(stage.events)
                    try:
                        self.wfile.write("".join(new).encode())
                    except OSError:
                        return

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tell(self, kind, at=None, **data):
        """An event of now, or of another time, in seconds since 1970."""
        with self.news:
            number = len(self.events) + 1
            data["time"] = timestamp(time.time() if at is None else at)
            self.events.append(f"event: {kind}\ndata: {json.dumps(data)}\nid: {number}\n\n")
            self.news.notify_all()

    def close(self):
        self.is_open = False
        with self.news:
            self.news.notify_all()
        self.server.shutdown()
        self.server.server_close()
