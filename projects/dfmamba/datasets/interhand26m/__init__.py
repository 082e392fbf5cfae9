"""InterHand2.6M: see `dfmamba.datasets.spec` for what is where."""
