"""Network: networks on disk and at work, and what is made of them for others."""
