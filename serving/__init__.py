"""Serving: the champion behind HTTP, for programs and for people."""
