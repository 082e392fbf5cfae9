"""Data of one's own in one JSON file, see docs/own_data.md; `dfmamba.datasets.spec` says what is where."""
