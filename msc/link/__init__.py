"""The only room with sockets: it carries bytes between asyncio's transports and the pure sessions."""
