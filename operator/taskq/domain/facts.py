"""What every struct that is decoded from the API has in common."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Base of everything decoded from the API."""


class Value(msgspec.Struct, rename="camel", gc=False, omit_defaults=True, frozen=True):
    """Base of what is compared and shared."""
