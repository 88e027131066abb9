"""Signing in and out, as the routes call it, in the order of the steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from anyio import to_thread
from redis import Redis

from sentiloc.app.access.caller import Caller, set_caller
from sentiloc.app.access.keys import ApiKey, KeyStore
from sentiloc.app.access.rate_limit import RateLimiter
from sentiloc.app.access.sessions import Session, SessionStore
from sentiloc.app.settings import Settings
from sentiloc.app.sign_in.attempts import AttemptStore, SignInFailed
from sentiloc.app.sign_in.people import Person, person_of

if TYPE_CHECKING:
    # Its dependencies come with an extra, so they may be missing.
    from sentiloc.app.sign_in.provider import Provider

_logger = logging.getLogger(__name__)
_LONGEST_HINT = 4096
"""The longest ID token that is kept for logging out. Without a token, the provider asks which session to end."""


class AttemptGone(Exception):
    """The attempt is too old, was used before, or belongs to another browser."""


class NotAllowed(Exception):
    """The provider knows the person, but the settings give the person no scope."""


class SignIn:
    """Signing in with the provider of the settings."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        keys: KeyStore,
        sessions: SessionStore,
        provider: Provider,
    ) -> None:
        self._settings = settings
        self._attempts = AttemptStore(redis, settings.redis_prefix)
        self._keys = keys
        self._sessions = sessions
        self._provider = provider
        self._tries = RateLimiter()

    def attempts_allowed(self, address: str) -> float:
        """Count an attempt of this address. Returns the seconds to wait if there were too many, else 0."""
        return self._tries.take(address, self._settings.oidc_attempts_per_minute)

    async def begin(self, browser: str, redirect_url: str) -> str:
        """The provider's URL for a new attempt; raises `SignInFailed`."""
        attempt = await to_thread.run_sync(self._attempts.begin, browser, redirect_url)
        return await self._provider.authorization_url(attempt)

    async def finish(self, browser: str, answer: Mapping[str, str]) -> tuple[str, Caller]:
        """The text of the cookie of a new session, and who it is for.

        Raises:
            AttemptGone: The browser has to start again.
            SignInFailed: The provider refused, or gave an invalid answer.
            NotAllowed: The person may not use this service.
        """
        attempt = await to_thread.run_sync(self._attempts.take, answer.get("state", ""), browser)
        if attempt is None:
            raise AttemptGone
        found = await self._provider.finish(attempt, answer)
        person = person_of(found.claims, self._settings)
        if person is None:
            # Without this line, nobody could find out why a person is refused.
            _logger.warning("a person with the subject %.100r has no group with a scope", found.claims["sub"])
            raise NotAllowed
        person = await to_thread.run_sync(self._admit, person)
        # The session is read with every request, and its token ends up in a URL, so long tokens are
        # dropped.
        is_kept = self._settings.oidc_provider_logout and len(found.id_token) <= _LONGEST_HINT
        token = found.id_token if is_kept else ""
        sid = found.claims.get("sid")
        text = await self._sessions.start(
            person.key_id,
            person.name,
            person.scopes,
            token,
            subject=found.claims["sub"],
            sid=sid if isinstance(sid, str) else "",
        )
        return text, Caller(key_id=person.key_id, scopes=person.scopes, person=person.name)

    async def end(self, text: str, back: str) -> str | None:
        """End a session. Returns the URL that also ends it at the provider, if that is wanted and possible."""
        session = await self._sessions.find(text)
        if session is not None:
            set_caller(Caller(key_id=session.key_id, scopes=session.scopes, person=session.person))
        # Ended here first: a provider that does not answer must not keep the session alive.
        await self._sessions.end(text)
        if session is None or not self._settings.oidc_provider_logout:
            return None
        return await self._logout_url(session, back)

    async def end_by_provider(self, token: str) -> int:
        """End the sessions that a logout token names; returns how many.

        Raises:
            SignInFailed: The token is not valid, or it was used before.
        """
        logout = await self._provider.logged_out(token)
        if await self._sessions.was_processed(logout.token_id):
            raise SignInFailed("the logout token was used before")
        count = await self._sessions.end_all(logout.subject, logout.sid)
        # Last: if Redis fails before, the provider sends the same token again.
        await self._sessions.mark_processed(logout.token_id, logout.seconds)
        return count

    async def _logout_url(self, session: Session, back: str) -> str | None:
        try:
            return await self._provider.logout_url(session.id_token, back)
        except SignInFailed as error:
            _logger.warning("a session ended here, but not at the provider: %s", error)
            return None

    def _admit(self, person: Person) -> Person:
        """The person, with a key to work as; raises `NotAllowed` if that key is revoked, expired or unknown."""
        key: ApiKey | None
        if person.is_own_key:
            limit = self._settings.key_rate_per_minute
            key = self._keys.upsert_person_key(person.key_id, person.name, person.scopes, limit)
            scopes = person.scopes
        else:
            key = self._keys.get(person.key_id)
            # Nobody gets more scopes than the key that the operator gave to the group.
            may = key.caller.may if key is not None else lambda _: False
            scopes = frozenset(scope for scope in person.scopes if may(scope))
        if key is None or not key.is_valid or not scopes:
            raise NotAllowed
        return Person(key_id=person.key_id, name=person.name, scopes=scopes, is_own_key=person.is_own_key)
