"""What every other package uses: argument checks, array types, whole files, threads, timing. Not public."""
