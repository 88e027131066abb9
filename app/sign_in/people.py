"""Converts a person's claims to a name, scopes, and the API key that acts for the person."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentiloc.app.access.caller import Scope
from sentiloc.app.settings import Settings
from sentiloc.app.settings.sign_in import EVERYBODY

_ID_LENGTH = 32
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person who may sign in. `key_id` is the API key that owns the person's jobs.

    `is_own_key` is False for a key that an operator made and gave to a group.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    is_own_key: bool


def person_of(claims: Mapping[str, Any], settings: Settings) -> Person | None:
    """The person of these claims; None if the settings give no scope to any of the person's groups."""
    groups = _texts(_claim(claims, settings.oidc_groups_claim))
    scopes = frozenset(
        Scope(scope) for group in (*groups, EVERYBODY) for scope in settings.oidc_scopes.get(group, ())
    )
    owner = _claim(claims, settings.oidc_owner_claim)
    # bool is a subclass of int.
    if not scopes or not isinstance(owner, str | int) or isinstance(owner, bool) or owner == "":
        return None
    own = (*groups, EVERYBODY)
    given = next((key_id for group, key_id in settings.oidc_keys.items() if group in own), None)
    return Person(
        key_id=given or owner_id(settings.oidc_issuer or "", settings.oidc_owner_claim, str(owner)),
        name=_name(claims, settings),
        scopes=scopes,
        is_own_key=given is None,
    )


def owner_id(issuer: str, claim: str, value: str) -> str:
    """The id of the key for everybody whose `claim` has this value.

    No generated key id has this length, so they cannot collide.
    """
    # A zero byte occurs in no issuer and in no claim's name, so the parts cannot be shifted.
    framed = "\0".join((issuer, claim, value))
    # JSON may hold half of a surrogate pair, which UTF-8 cannot express.
    return hashlib.sha256(framed.encode(errors="surrogatepass")).hexdigest()[:_ID_LENGTH]


def _name(claims: Mapping[str, Any], settings: Settings) -> str:
    for claim in (settings.oidc_name_claim, "email", "sub"):
        found = _claim(claims, claim)
        if isinstance(found, str) and (shown := "".join(c for c in found if c.isprintable()).strip()):
            return shown[:_LONGEST_NAME]
    return "unnamed"


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim with this name, or the nested one for a name with dots, such as `realm_access.roles`.

    An e-mail address that the provider has not verified counts as missing, because anybody could have entered it.
    """
    if path == "email" and claims.get("email_verified") in (False, "false"):
        return None
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]
