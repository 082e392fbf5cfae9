"""AssemblyHands, ego views: see `dfmamba.datasets.spec` for what is where."""
