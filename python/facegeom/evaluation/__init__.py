"""Benchmarks, one per module, each with `add_arguments(parser)` and `run(args)` for the command line.

Most benchmarks call facegeom through a predictor: a function from a photo and a box to a predicted face (see
`facegeom.measures.predictor`). The same benchmark can therefore measure another method, or the ground truth itself.
"""
