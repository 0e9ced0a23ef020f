"""What makes the journal provable: canonical bytes, the chain, signed checkpoints. See docs/journal-format.md."""
