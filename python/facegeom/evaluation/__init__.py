"""Error measures, and one module a benchmark, each with `add_arguments(parser)` and `run(args)`.

Benchmarks see facegeom through a predictor, a function from a photo and a box to a predicted face (see
`facegeom.measures.predictor`), so that any other method, or the truth itself, can be measured in its place.
"""
