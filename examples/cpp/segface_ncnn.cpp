// A face parsed by ncnn: segface_ncnn MODEL.param PHOTO LABELS.png
// Beside MODEL.param lie MODEL.bin and MODEL.param.json, as `segface-edge export --target ncnn` writes them.
#include <iostream>

#include <net.h>

#include "picture.hpp"

static int run(const std::string& model, const char* photo_path, const char* labels_path) {
    std::ifstream file(model + ".json");
    const std::string described((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const size_t at = described.find("\"size\": ");
    if (at == std::string::npos) throw std::runtime_error(model + ".json: does not say what the model is");
    const int size = std::stoi(described.substr(at + 8));
    const auto names = class_names(described);

    // In fp32, as the file was checked: left to itself, ncnn takes half precision on CPUs that have it.
    ncnn::Net net;
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;
    const std::string weights = model.substr(0, model.rfind('.')) + ".bin";
    if (net.load_param(model.c_str()) || net.load_model(weights.c_str()))
        throw std::runtime_error(model + ": cannot be loaded");

    const Picture photo = read_picture(photo_path);
    const Square square = fit(photo, size);
    // 1. Planes of floats, R, G, B, 0 to 255; the normalisation is in the net.
    const ncnn::Mat planes = ncnn::Mat::from_pixels(square.rgb.data(), ncnn::Mat::PIXEL_RGB, size, size);
    ncnn::Extractor extractor = net.create_extractor();
    ncnn::Mat logits;
    if (extractor.input("in0", planes) || extractor.extract("out0", logits))
        throw std::runtime_error(model + ": failed to run");
    if (logits.w != size || logits.h != size || logits.c != int(names.size()))
        throw std::runtime_error(model + ": is not what " + model + ".json says");
    // 2. A label is the class whose logit is largest, the first of equals. ncnn's planes may have gaps between them.
    Bytes labels(size_t(size) * size);
    std::vector<float> best(logits.channel(0).row(0), logits.channel(0).row(0) + labels.size());
    for (int c = 1; c < logits.c; c++) {
        const float* plane = logits.channel(c);
        for (size_t i = 0; i < labels.size(); i++)
            if (plane[i] > best[i]) best[i] = plane[i], labels[i] = uint8_t(c);
    }
    report(restore(labels.data(), size, square, photo), photo, names, labels_path);
    return 0;
}

int main(int count, char** arguments) {
    if (count != 4) {
        std::cerr << "use: " << arguments[0] << " MODEL.param PHOTO LABELS.png\n";
        return 2;
    }
    try {
        return run(arguments[1], arguments[2], arguments[3]);
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
}
