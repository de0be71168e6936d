"""The programs of the peers that are no program by themselves."""
