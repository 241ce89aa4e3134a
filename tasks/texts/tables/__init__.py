"""Tables: the files that people have as record batches, streamed, with errors that name file and row."""
