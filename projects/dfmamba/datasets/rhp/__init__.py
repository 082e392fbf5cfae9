"""RHD, the Rendered Hand Pose data set (RHP in papers): see `dfmamba.datasets.spec` for what is where."""
