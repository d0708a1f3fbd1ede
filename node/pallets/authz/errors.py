"""Refusals of authz; codes and texts of the Cosmos SDK where it has them."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class AuthzError(ChainError):
    """Base of authz's refusals"""

    codespace: ClassVar[str] = "authz"


class AuthorizationMissing(AuthzError):
    """authorization not found"""

    code = 2


class ExpirationInvalid(AuthzError):
    """expiration time of authorization should be more than current time"""

    code = 3


class AuthorizationTypeUnknown(AuthzError):
    """unknown authorization type"""

    code = 4


class AuthorizationExpired(AuthzError):
    """authorization expired"""

    code = 6


class GranteeIsGranter(AuthzError):
    """grantee and granter should be different"""

    code = 7


class SignersTooMany(AuthzError):
    """authorization can be given to msg with only one signer"""

    code = 9


class SpendLimitExceeded(AuthzError):
    """the calls take more than the authorization allows"""

    code = 101


class CallNotAllowed(AuthzError):
    """the authorization cannot be for this call"""

    code = 102


AUTHZ_ERRORS: tuple[type[ChainError], ...] = (
    AuthorizationMissing,
    ExpirationInvalid,
    AuthorizationTypeUnknown,
    AuthorizationExpired,
    GranteeIsGranter,
    SignersTooMany,
    SpendLimitExceeded,
    CallNotAllowed,
)
