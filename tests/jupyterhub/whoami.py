"""A web service that JupyterHub's own HubOAuth guards: it tells visitors who they are."""

import json
import os
from urllib.parse import urlparse

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler, authenticated


class WhoAmI(HubOAuthenticated, RequestHandler):
    @authenticated
    def get(self):
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(self.current_user))


def main():
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    url = urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
    handlers = [
        (prefix + "oauth_callback", HubOAuthCallbackHandler),
        (prefix + ".*", WhoAmI),
    ]
    application = Application(handlers, cookie_secret=os.urandom(32))
    HTTPServer(application).listen(url.port, url.hostname)
    IOLoop.current().start()


if __name__ == "__main__":
    main()
