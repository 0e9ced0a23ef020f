"""MTP/1 and the messages it carries: pure, no sockets, no files but data given to it, no clock."""
