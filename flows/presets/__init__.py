"""Presets: settings files that `--preset NAME` finds by their name."""
