"""DexYCB: see `dfmamba.datasets.spec` for what is where."""
