"""Where a message goes, what still waits for an answer, what waits to be delivered. Pure: no sockets."""
