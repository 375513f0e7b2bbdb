"""Directories over TLS (LDAP, Active Directory) as an identity source."""

from penstock.identity.ldap.source import LdapSource

__all__ = ["LdapSource"]
