// Runs the `forward` method of a .pte on a [2, 8] input of ones, and prints the output's elements.
//
//   app MODEL.pte
//
// It names no symbol of the delegate, which registers itself.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdio>
#include <vector>

int main(int, char** arguments) {
  std::vector<float> ones(16, 1.0f);
  executorch::extension::Module module(arguments[1]);
  const auto outputs = module.forward(executorch::extension::from_blob(ones.data(), {2, 8}));
  if (!outputs.ok()) {
    std::fprintf(stderr, "forward() failed with error 0x%x\n",
                 static_cast<unsigned>(outputs.error()));
    return 1;
  }
  const auto& output = outputs->at(0).toTensor();
  for (ssize_t i = 0; i < output.numel(); ++i) {
    std::printf("%.6f\n", output.const_data_ptr<float>()[i]);
  }
  return 0;
}
