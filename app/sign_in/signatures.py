"""The provider's keys, and the check of a token's signature with them (RFC 7515, RFC 7517)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import JWKRegistry, Key, KeySet, RSAKey
from joserfc.jws import JWSRegistry

from sentiloc.app.sign_in.attempts import SignInFailed

_logger = logging.getLogger(__name__)

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
"""Signatures with a public key. A token without a signature, or with a shared secret, is refused."""
_KINDS = ("RSA", "EC", "OKP")
_MOST_KEYS = 100
_SMALLEST_RSA_BITS = 2048
_MOST_BYTES = 1 << 20
_MOST_HEADER_BYTES = 1 << 14
_MOST_SIGNATURE_BYTES = 1 << 12


def usable_keys(found: Mapping[str, Any]) -> KeySet:
    """The keys of a key set that can check signatures.

    Keys that are not understood are left out (RFC 7517, section 5), and so are keys for encryption and RSA keys of less
    than 2048 bits.

    Raises:
        SignInFailed: There is no such key, or there are more than 100 keys.
    """
    listed = found.get("keys")
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise SignInFailed(f"the provider's key set has no list of at most {_MOST_KEYS} keys")
    keys = [key for one in listed if (key := _usable(one)) is not None]
    if not keys:
        raise SignInFailed("the provider names no key that can check a signature")
    return KeySet(keys)


def verified(token: str, keys: KeySet) -> dict[str, Any]:
    """The claims of a signed token.

    Raises:
        JoseError: No key of the set signed it, or it is not a token.
        ValueError: Its parts violate the standard.
    """
    try:
        return dict(jwt.decode(token, keys, registry=_registry()).claims)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from error


def _usable(listed: object) -> Key | None:
    if not isinstance(listed, dict) or listed.get("kty") not in _KINDS:
        return None
    if listed.get("use", "sig") != "sig":
        return None
    try:
        if "verify" not in listed.get("key_ops", ("verify",)):
            return None
        key = JWKRegistry.import_key(listed)
    except Exception as error:
        # Libraries raise many types for unexpected parts; the key is unusable in any case.
        _logger.warning("a key of the provider cannot be used: %s", type(error).__name__)
        return None
    if isinstance(key, RSAKey) and key.raw_value.key_size < _SMALLEST_RSA_BITS:
        return None
    return key


def _registry() -> JWSRegistry:
    """RFC 7515, section 4: header members that are not understood are ignored, unless `crit` names them."""
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    # A person in thousands of groups has a long token.
    registry.max_payload_length = _MOST_BYTES
    registry.max_header_length = _MOST_HEADER_BYTES
    registry.max_signature_length = _MOST_SIGNATURE_BYTES
    return registry
