"""The daemon as a process, over real mutual TLS, judged by a client written from the protocol page alone."""
