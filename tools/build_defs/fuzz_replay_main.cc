// main() of a fuzz target's test: runs each file that it is given once, after the empty input, and
// names it first, so that a crash tells which input it was. What libFuzzer's main does with files,
// for any compiler and sanitizer.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" [[gnu::weak]] int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

void run(const std::string& name, const std::vector<char>& bytes) {
  std::printf("%s: %zu bytes\n", name.c_str(), bytes.size());
  std::fflush(stdout);
  // A copy of exactly that size, so that a sanitizer sees every read behind the end.
  auto data = std::make_unique<uint8_t[]>(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) data[i] = static_cast<uint8_t>(bytes[i]);
  LLVMFuzzerTestOneInput(data.get(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  run("no input", {});
  int inputs = 0;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    if (!file) {
      std::fprintf(stderr, "%s: cannot be read\n", argv[i]);
      return 1;
    }
    run(argv[i], bytes);
    ++inputs;
  }
  std::printf("%d inputs\n", inputs);
  // No corpus, no test.
  return inputs > 0 ? 0 : 1;
}
