"""ONNX Runtime: files opened, looked at and run, on a CPU or a GPU."""
