"""A site's folder: making it, checking it, declaring and administering its directory."""
