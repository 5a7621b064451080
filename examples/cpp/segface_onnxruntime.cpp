// A face parsed by ONNX Runtime: segface_onnxruntime MODEL.onnx PHOTO LABELS.png
#include <iostream>

#include <onnxruntime_cxx_api.h>

#include "picture.hpp"

static int run(const char* model, const char* photo_path, const char* labels_path) {
    const Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "segface");
    Ort::Session session(env, model, Ort::SessionOptions());

    // The file says what it is: its input is frames, N x S x S x 3 uint8; its first output labels, N x S x S uint8.
    Ort::AllocatorWithDefaultOptions allocator;
    const auto described = session.GetModelMetadata().LookupCustomMetadataMapAllocated("segface_edge", allocator);
    const auto type = session.GetInputTypeInfo(0);
    const auto input = type.GetTensorTypeAndShapeInfo();
    const std::vector<int64_t> shape = input.GetShape();
    const auto name = session.GetInputNameAllocated(0, allocator), output = session.GetOutputNameAllocated(0, allocator);
    if (!described || shape.size() != 4 || shape[3] != 3 || shape[0] > 1 || std::string(output.get()) != "labels" ||
        input.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 || session.GetInputCount() != 1)
        throw std::runtime_error(std::string(model) + ": is no deploy graph of one frame: segface-edge export makes one");
    const int size = int(shape[1]);

    const Picture photo = read_picture(photo_path);
    Square square = fit(photo, size);
    const int64_t frame[] = {1, size, size, 3};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto frames =
        Ort::Value::CreateTensor<uint8_t>(memory, square.rgb.data(), square.rgb.size(), frame, std::size(frame));
    const char *inputs[] = {name.get()}, *outputs[] = {output.get()};
    const auto results = session.Run(Ort::RunOptions(), inputs, &frames, 1, outputs, 1);

    const Bytes map = restore(results[0].GetTensorData<uint8_t>(), size, square, photo);
    report(map, photo, class_names(described.get()), labels_path);
    return 0;
}

int main(int count, char** arguments) {
    if (count != 4) {
        std::cerr << "use: " << arguments[0] << " MODEL.onnx PHOTO LABELS.png\n";
        return 2;
    }
    try {
        return run(arguments[1], arguments[2], arguments[3]);
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
}
