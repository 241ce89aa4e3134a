"""Data checks: duplicates, near-duplicates, giveaways and wrong labels."""
