// Runs the `forward` method of a .pte on one float32 input and prints the output's elements, one
// per line.
//
//   run_pte MODEL.pte EXTENT[,EXTENT...] VALUE...

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s MODEL.pte EXTENT[,EXTENT...] VALUE...\n", argv[0]);
    return 2;
  }
  std::vector<executorch::aten::SizesType> shape;
  size_t count = 1;
  std::stringstream extents(argv[2]);
  for (std::string extent; std::getline(extents, extent, ',');) {
    shape.push_back(std::atoi(extent.c_str()));
    count *= static_cast<size_t>(shape.back());
  }
  std::vector<float> values;
  for (int i = 3; i < argc; ++i) values.push_back(std::strtof(argv[i], nullptr));
  if (values.size() != count) {
    std::fprintf(stderr, "%s: the shape has %zu elements, %zu values were given\n", argv[0], count,
                 values.size());
    return 2;
  }

  executorch::extension::Module module(argv[1]);
  auto input = executorch::extension::from_blob(values.data(), shape);
  const auto outputs = module.forward(input);
  if (!outputs.ok()) {
    std::fprintf(stderr, "%s: forward() failed with error 0x%x\n", argv[1],
                 static_cast<unsigned>(outputs.error()));
    return 1;
  }
  const auto& output = outputs->at(0).toTensor();
  for (ssize_t i = 0; i < output.numel(); ++i)
    std::printf("%.6f\n", output.const_data_ptr<float>()[i]);
  return 0;
}
