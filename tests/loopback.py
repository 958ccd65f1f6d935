"""A web server on loopback for tests of downloads: it knows ranges, and can break off on demand."""

import contextlib
import http.server
import re
import threading
from pathlib import Path


class Loopback:
    """Files by name, and what the server does with them.

    Attributes:
        files: Contents by name.
        tags: ETags by name, or dates; without one, parts cannot be asked for safely.
        moved: Other names to go to, by name.
        ranges: Whether parts are sent when asked for.
        cuts: For each answer in turn, after how many bytes it breaks off; `None` for not at all.
        statuses: For each answer in turn, an error to send in its place; `None` for none.
        sized: Whether the length is told.
        asked: The name and range of each request so far.
    """

    def __init__(self, address):
        self.address = address
        self.files, self.tags, self.moved, self.asked = {}, {}, {}, []
        self.ranges, self.sized = True, True
        self.cuts, self.statuses = [], []

    def url(self, name):
        return f"{self.address}/{name}"


@contextlib.contextmanager
def loopback():
    """Serve until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

        def do_GET(self):
            answer(self, web)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web = Loopback(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


def answer(request, web):
    name, wanted = request.path.lstrip("/"), request.headers.get("Range")
    web.asked.append((name, wanted))
    if name in web.moved:
        request.send_response(302)
        request.send_header("Location", web.url(web.moved[name]))
        request.end_headers()
        return
    status = web.statuses.pop(0) if web.statuses else None
    if status or name not in web.files:
        request.send_error(status or 404)
        return
    content, tag = web.files[name], web.tags.get(name)
    first = 0
    if wanted and web.ranges and request.headers.get("If-Range") == tag:
        first = int(re.match(r"bytes=(\d+)-", wanted)[1])
        if first >= len(content):
            request.send_error(416)
            return
    request.send_response(206 if first else 200)
    if first:
        request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    if web.sized:
        request.send_header("Content-Length", str(len(content) - first))
    if tag:
        request.send_header("ETag" if '"' in tag else "Last-Modified", tag)
    request.end_headers()
    cut = web.cuts.pop(0) if web.cuts else None
    request.wfile.write(content[first:] if cut is None else content[first : first + cut])


def names(folder):
    """What lies in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())
