"""The only modules of the operator that open a socket."""
