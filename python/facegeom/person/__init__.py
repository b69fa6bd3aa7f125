"""One head from several photos of a person."""
