"""What the steps stand on: settings, the artifact store, text, sources and caching."""
