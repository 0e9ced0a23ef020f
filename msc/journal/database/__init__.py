"""The databases a journal may stand in, behind one interface: SQLite files, or PostgreSQL."""
