"""Load: a closed-loop generator, a bare TLS echo to compare with, and the benchmark that runs both."""
