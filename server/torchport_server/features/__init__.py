"""One file for each method of the protocol; each has `register(server)`."""
