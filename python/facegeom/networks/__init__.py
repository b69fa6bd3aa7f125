"""One network a file, with its configuration and its loader."""
