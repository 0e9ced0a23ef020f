"""What operators order a running switch to do, at the console."""
