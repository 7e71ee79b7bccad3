#ifndef COREML_DELEGATE_BASE_FEATURE_KINDS_H_
#define COREML_DELEGATE_BASE_FEATURE_KINDS_H_

// What Core ML describes at a model's border where the program has tensors: images and classes.

#include <cstdint>
#include <string>
#include <vector>

namespace coreml_delegate {

// How an image lies in its tensor [1, channels, height, width], of values 0 to 255. The numbers are
// those of Core ML's ImageFeatureType.ColorSpace.
enum class ColorLayout : uint8_t {
  kGrayscale = 10,         // One channel.
  kRgb = 20,               // Three channels, in this order.
  kBgr = 30,               // Three channels, in this order.
  kGrayscaleFloat16 = 40,  // One channel of float16 pixels, in no range.
};

// A classifier's tensor of probabilities stands for two features: the most probable class, and a
// dictionary from classes to probabilities.
struct Classifier {
  std::string label;          // The name of the feature of the most probable class.
  std::string probabilities;  // The name of the dictionary, and of the output tensor.
  // The classes in the tensor's order: one of the two is empty.
  std::vector<std::string> names;
  std::vector<int64_t> numbers;

  size_t size() const { return names.empty() ? numbers.size() : names.size(); }
  bool operator==(const Classifier&) const = default;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_FEATURE_KINDS_H_
