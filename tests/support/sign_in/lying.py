"""A provider with prepared answers: wrong tokens, odd keys, unsafe endpoints."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi.testclient import TestClient
from joserfc import jws, jwt
from joserfc.jwk import ECKey
from joserfc.registry import HeaderParameter

from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.attempts import Attempt
from sentiloc.app.sign_in.provider import Provider

CLIENT = "sentiloc"
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}, private=True)
OTHER_KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}, private=True)
ATTEMPT = Attempt(state="s", nonce="n", verifier="v" * 43, redirect_url="http://127.0.0.1/signin/callback")


class LyingProvider(ThreadingHTTPServer):
    """A provider that returns `answers` by path, including ones that no real provider would give."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.statuses: dict[str, int] = {}
        self.answers: dict[str, object] = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
            },
            "/jwks": {"keys": [KEY.as_dict(private=False)]},
        }

    @property
    def about(self) -> dict[str, Any]:
        found = self.answers["/.well-known/openid-configuration"]
        assert isinstance(found, dict)
        return found

    def claims(self, **changes: object) -> dict[str, Any]:
        now = int(time.time())
        right = {"iss": self.issuer, "aud": CLIENT, "sub": "erin", "nonce": "n", "iat": now, "exp": now + 60}
        return {name: value for name, value in {**right, **changes}.items() if value is not None}

    def issue(self, claims: dict[str, Any], key: Any = KEY, **header: str) -> None:
        algorithm = header.pop("alg", "ES256")
        token = jwt.encode({"alg": algorithm, "kid": "one", **header}, claims, key, algorithms=[algorithm])
        self.answers["/token"] = {"id_token": token, "access_token": "a", "token_type": "Bearer"}

    def issue_text(self, payload: bytes, **header: object) -> None:
        """A signed token with any payload and header."""
        given = {"alg": "ES256", "kid": "one", **header}
        token = jws.serialize_compact(
            {name: value for name, value in given.items() if value is not None},
            payload,
            KEY,
            registry=jws.JWSRegistry(
                {name: HeaderParameter(name, "str") for name in header if "." in name},
                algorithms=["ES256"],
                strict_check_header=False,
            ),
        )
        self.answers["/token"] = {"id_token": token, "access_token": "a", "token_type": "Bearer"}


class _Handler(BaseHTTPRequestHandler):
    server: LyingProvider

    def do_GET(self) -> None:
        body = json.dumps(self.server.answers.get(self.path, {"error": "unknown"})).encode()
        known = 200 if self.path in self.server.answers else 404
        self.send_response(self.server.statuses.get(self.path, known))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def asking(issuer: str, **changes: object) -> Settings:
    given: dict[str, Any] = {
        "api_keys": "on",
        "oidc_issuer": issuer,
        "oidc_client_id": CLIENT,
        "oidc_scopes": {"editors": ["read", "write"]},
        **changes,
    }
    return Settings(**given)


def finish(liar: LyingProvider, **answer: str) -> dict[str, Any]:
    provider = Provider(asking(liar.issuer))
    return dict(asyncio.run(provider.finish(ATTEMPT, {"code": "c", "state": "s", **answer})).claims)


def sign_in(client: TestClient, liar: LyingProvider, **claims: object) -> str:
    """What the provider asks for is signed, and brought back; the address to which the browser is sent."""
    asked = parse_qs(urlsplit(client.get("/signin").headers["location"]).query)
    given = {"groups": ["editors"], **claims}
    liar.issue_text(json.dumps(liar.claims(nonce=asked["nonce"][0], **given)).encode())
    answer = client.get("/signin/callback", params={"state": asked["state"][0], "code": "c"})
    return str(answer.headers["location"])


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    """A lying provider that runs until the end of the block."""
    server = LyingProvider()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
