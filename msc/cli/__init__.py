"""The command line: thin faces of what the other rooms do."""
