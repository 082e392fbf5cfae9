"""A backbone and a head of one's own in their smallest form; see docs/extending.md."""
