"""A fake single-user server that starts in no time: it answers every request with 200, as a real one its Hub's first."""

import http.server
import os
import urllib.parse


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


address = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
http.server.ThreadingHTTPServer((address.hostname or "127.0.0.1", address.port), Answer).serve_forever()
