"""Construction of the statistical face model: remeshing, atlas, statistics, landmarks."""
