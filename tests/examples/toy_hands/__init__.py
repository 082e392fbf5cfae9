"""A data set of one's own in its smallest form: pictures, one JSON file, right hands; see docs/extending.md."""
