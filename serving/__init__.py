"""Serving: the champion over HTTP, as an API and a web page."""
