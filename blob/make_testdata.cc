// Writes blob/testdata: the corrupt blobs, and, with --goldens, the goldens of the newest version.
// Those in the tree stay as they are for ever; a new version gets new ones beside them.
//
//   tools/bazel run //blob:make_testdata -- $PWD/blob/testdata

#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include "blob/corrupt_cases.h"
#include "blob/testing_blob.h"

namespace coreml_delegate::blob {
namespace {

bool write(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) std::fprintf(stderr, "cannot write %s\n", path.c_str());
  return bool{file};
}

int run(const std::string& folder, bool goldens) {
  bool ok = true;
  for (const CorruptCase& corrupt : corrupt_cases()) {
    ok = write(folder + "/corrupt/" + corrupt.name, corrupt.bytes) && ok;
  }
  if (goldens) {
    // Those of version 1.0 were written by its writer, and stay.
    const std::string both = written(both_description());
    ok = !both.empty() && write(folder + "/golden/v1_1_both.cmlb", both) && ok;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace coreml_delegate::blob

int main(int argc, char** argv) {
  const bool goldens = argc == 3 && std::string_view(argv[1]) == "--goldens";
  if (argc != 2 && !goldens) {
    std::fprintf(stderr, "usage: %s [--goldens] FOLDER\n", argv[0]);
    return 2;
  }
  return coreml_delegate::blob::run(argv[argc - 1], goldens);
}
