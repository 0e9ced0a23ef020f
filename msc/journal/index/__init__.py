"""What makes the journal searchable: terms, and segments of sorted pages that tell where each stands."""
