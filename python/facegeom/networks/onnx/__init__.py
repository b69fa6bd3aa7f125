"""The networks in ONNX Runtime: graphs without weights, which take their weights from the files of the package."""
