"""Tables: reading and writing the file formats that people use, as streams, with errors that name file and row."""
