"""Reading files that others wrote: what is opened, how far it may unfold, and which images are whole."""
