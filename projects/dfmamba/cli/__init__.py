"""The commands: `dfmamba train` and its kin, and what `tools/` calls. Each module is one of them."""
