"""Private helpers of all packages: argument checks, array types, atomic file writes, threads, timing."""
