"""Where reviews come from: one source a file, and the reader that trusts none of them."""
