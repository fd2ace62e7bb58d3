#!/usr/bin/env bash
# JupyterHub 6.1.1: when a single-user server exchanges its OAuth code, the request authenticates itself twice, and once
# by a scheme that no RFC knows. The body has client_id and client_secret, as RFC 6749 section 2.3.1 allows; beside it
# goes `Authorization: token SECRET`. A provider that takes any Authorization header of a token request for the client's
# credentials, and answers 401 to a scheme it does not know (as section 5.2 has it for failed client authentication),
# cannot log anybody in. Seen with jupyterhub 6.1.1 and Python 3.11:
#
#   POST /hub/api/oauth2/token
#   Authorization: token the-secret
#   body fields: client_id client_secret code code_verifier grant_type redirect_uri
#
# Exits 1 when a release sends anything else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --disable-pip-version-check -q jupyterhub==6.1.1 tornado==6.6.1
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
from urllib.parse import parse_qs

from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

seen = {}


class Token(RequestHandler):
    def post(self):
        seen["scheme"] = self.request.headers.get("Authorization")
        seen["fields"] = sorted(parse_qs(self.request.body.decode()))
        self.write({"access_token": "granted", "token_type": "Bearer"})


async def main():
    server = HTTPServer(Application([("/hub/api/oauth2/token", Token)]))
    server.listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]
    client = HubOAuth(
        api_url=f"http://127.0.0.1:{port}/hub/api",
        api_token="the-secret",
        oauth_client_id="jupyterhub-user-ada",
        oauth_redirect_uri="/user/ada/oauth_callback",
    )
    granted = await client.token_for_code("a-code", code_verifier="v" * 43, sync=False)
    assert granted == "granted", granted
    print("Authorization:", seen["scheme"])
    print("body fields:", *seen["fields"])
    assert seen["scheme"] == "token the-secret", seen
    expected = "client_id client_secret code code_verifier grant_type redirect_uri"
    assert seen["fields"] == expected.split(), seen


asyncio.run(main())
PYTHON
