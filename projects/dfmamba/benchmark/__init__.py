"""What `tools/benchmark.py` does: models by name, their speed and memory on this machine, a picture of both."""
