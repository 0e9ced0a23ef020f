"""PURE. What is on its way: messages, their destinations, and what has become of them at each."""
