// What both programs share: a picture read, fitted into the network's square as segface_edge/pictures/fitting.py does it
// for a whole photo, label maps brought back, areas printed. RGB, rows first, 8 bits a channel.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>

using Bytes = std::vector<uint8_t>;

struct Picture { int width, height; Bytes rgb; };  // rgb: height x width x 3

struct Square { int left, top, right, bottom; Bytes rgb; };  // where the photo lies in it; rgb: S x S x 3

inline Picture read_picture(const std::string& path) {
    int width, height, channels;
    uint8_t* pixels = stbi_load(path.c_str(), &width, &height, &channels, 3);
    if (!pixels) throw std::runtime_error(path + ": cannot be read (" + stbi_failure_reason() + ")");
    Picture picture{width, height, Bytes(pixels, pixels + size_t(3) * width * height)};
    stbi_image_free(pixels);
    return picture;
}

// One axis of an antialiased bicubic resize (a = -0.5), with whole-number weights of 22 bits as Pillow has them. `from`
// has `lines` x `length` pixels; the result `lines` x `wanted` transposed, so that two calls do both axes.
inline Bytes resized(const Bytes& from, int lines, int length, int wanted) {
    Bytes to(size_t(3) * lines * wanted);
    const double scale = double(length) / wanted, wide = std::max(scale, 1.0);
    auto cubic = [](double x) {
        x = std::abs(x);
        return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0.0;
    };
    for (int at = 0; at < wanted; at++) {
        const double centre = (at + 0.5) * scale;
        const int first = std::max(int(centre - 2 * wide + 0.5), 0), last = std::min(int(centre + 2 * wide + 0.5), length);
        std::vector<double> weights;
        double sum = 0;
        for (int k = first; k < last; k++) sum += weights.emplace_back(cubic((k - centre + 0.5) / wide));
        std::vector<int> whole;
        for (double weight : weights) whole.push_back(int(std::round(weight / sum * (1 << 22))));
        for (int line = 0; line < lines; line++)
            for (int c = 0; c < 3; c++) {
                int total = 1 << 21;
                for (int k = first; k < last; k++) total += whole[k - first] * from[3 * (size_t(line) * length + k) + c];
                to[3 * (size_t(at) * lines + line) + c] = uint8_t(std::clamp(total >> 22, 0, 255));
            }
    }
    return to;
}

// The whole photo, its aspect ratio kept, in the middle of S x S; around it RGB 124 116 104.
inline Square fit(const Picture& photo, int size) {
    const double scale = double(size) / std::max(photo.width, photo.height);
    auto edges = [&](int length, int& first, int& last) {
        const double start = (size - length * scale) / 2;
        first = std::clamp(int(std::nearbyint(start)), 0, size - 1);
        last = std::clamp(int(std::nearbyint(start + length * scale)), first + 1, size);
    };
    Square square{0, 0, 0, 0, Bytes(size_t(3) * size * size)};
    edges(photo.width, square.left, square.right);
    edges(photo.height, square.top, square.bottom);
    const int width = square.right - square.left, height = square.bottom - square.top;
    const Bytes drawn = resized(resized(photo.rgb, photo.height, photo.width, width), width, photo.height, height);
    const uint8_t around[] = {124, 116, 104};
    for (size_t at = 0; at < square.rgb.size(); at++) square.rgb[at] = around[at % 3];
    for (int y = 0; y < height; y++)
        std::copy_n(&drawn[size_t(3) * y * width], 3 * width,
                    &square.rgb[3 * (size_t(square.top + y) * size + square.left)]);
    return square;
}

// Labels S x S in the photo's pixels: of each the label below its centre. The SDK smooths edges (pictures/restoring.py):
// equal where the photo is S x S.
inline Bytes restore(const uint8_t* labels, int size, const Square& square, const Picture& photo) {
    Bytes map(size_t(photo.width) * photo.height);
    const double x_step = double(square.right - square.left) / photo.width;
    const double y_step = double(square.bottom - square.top) / photo.height;
    for (int y = 0; y < photo.height; y++)
        for (int x = 0; x < photo.width; x++)
            map[size_t(y) * photo.width + x] =
                labels[(square.top + int((y + 0.5) * y_step)) * size + square.left + int((x + 0.5) * x_step)];
    return map;
}

// The class names in the JSON with which every model file describes itself (docs/json.md).
inline std::vector<std::string> class_names(const std::string& json) {
    std::vector<std::string> names;
    size_t at = json.find("\"classes\""), end = json.find(']', at);
    if (end == std::string::npos) throw std::runtime_error("the model names no classes: export it with segface-edge");
    for (at = json.find('[', at); (at = json.find('"', at)) < end; at = json.find('"', at) + 1) {
        const size_t start = at + 1;
        at = json.find('"', start);
        names.push_back(json.substr(start, at - start));
    }
    return names;
}

// Prints the pixels of each class as `segface-edge parse --json -` has them, and writes the label map as a grey PNG.
inline void report(const Bytes& map, const Picture& photo, const std::vector<std::string>& names, const char* path) {
    std::vector<size_t> areas(256);
    for (uint8_t label : map) areas[label]++;
    for (size_t at = 0; at < names.size(); at++)
        std::printf("%s\"%s\": %zu", at ? ", " : "{", names[at].c_str(), areas[at]);
    std::printf("}\n");
    if (!stbi_write_png(path, photo.width, photo.height, 1, map.data(), photo.width))
        throw std::runtime_error(std::string(path) + ": cannot be written");
}
