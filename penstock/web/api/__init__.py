"""The JSON API, one file per noun.  Every error is ``{"error": …, "problems": […]}``."""

from penstock.web.api.routes import routes

__all__ = ["routes"]
