"""NYU hand pose: see `dfmamba.datasets.spec` for what is where."""
