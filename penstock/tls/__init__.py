"""The TLS contexts of the gate's own listeners: portal, cards and tunnel make theirs here, by the same rules.

It must never make a context that allows more than it says.
"""

from penstock.tls.contexts import KeyFiles, Served, key_files, served

__all__ = ["KeyFiles", "Served", "key_files", "served"]
