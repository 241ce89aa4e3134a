"""Data checks: duplicates, giveaways, damaged encodings, and how splits differ."""
