"""The pages of the portal: server-rendered HTML, usable without any script, reading nothing from elsewhere."""

from penstock.web.pages.routes import html_error, html_failure, routes

__all__ = ["html_error", "html_failure", "routes"]
