// The program of :sine, in this binary, through the delegate: the sine of zeros is zeros.

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "sine_data.h"

int main() {
  auto loader =
      std::make_unique<executorch::extension::BufferDataLoader>(sine_data_data(), sine_data_size());
  executorch::extension::Module module(std::move(loader));
  const auto input = executorch::extension::make_tensor_ptr({2, 3}, std::vector<float>(6));
  const auto outputs = module.forward(input);
  if (!outputs.ok() || outputs->size() != 1) {
    std::fprintf(stderr, "forward: error 0x%x\n", static_cast<unsigned>(outputs.error()));
    return 1;
  }
  const float* values = (*outputs)[0].toTensor().const_data_ptr<float>();
  for (int i = 0; i < 6; ++i) {
    if (values[i] != 0.0f) return 1;
  }
}
