"""Sources: where texts and labels come from, one source per file."""
