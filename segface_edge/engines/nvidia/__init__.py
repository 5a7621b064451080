"""TensorRT and TensorRT-RTX: plans built, described, kept and run, on CUDA through pycuda or cuda-python."""
