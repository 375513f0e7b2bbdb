"""The portal: pages for people, a JSON API for the command line, and the administrator's socket.

Stands in front of `penstock.control`, which decides everything.  It must never grant, and never show one subject what
belongs to another.
"""

from penstock.web.admin import admin_app
from penstock.web.app import portal_app
from penstock.web.serve import serve_web

__all__ = ["admin_app", "portal_app", "serve_web"]
