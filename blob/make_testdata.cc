// Writes blob/testdata: the corrupt blobs, and, with --goldens, our goldens. The goldens in the
// tree are version 1 for ever; a new version gets new ones beside them.
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

bool write_golden(const std::string& path, const std::map<std::string, std::string>& keys) {
  const Result<CoreMLBlobWriter> writer =
      CoreMLBlobWriter::create(golden_description(), owning_tree(golden_files()), keys);
  if (!writer.ok()) {
    std::fprintf(stderr, "%s\n", writer.status().to_string().c_str());
    return false;
  }
  std::vector<std::byte> bytes;
  VectorSink sink(bytes);
  return writer->write(sink).ok() && write(path, as_text(bytes));
}

int run(const std::string& folder, bool goldens) {
  bool ok = true;
  for (const CorruptCase& corrupt : corrupt_cases()) {
    ok = write(folder + "/corrupt/" + corrupt.name, corrupt.bytes) && ok;
  }
  if (goldens) {
    const std::string golden = folder + "/golden/";
    ok = write_golden(golden + "v1_inline.cmlb", {}) && ok;
    ok = write_golden(golden + "v1_named_data.cmlb", {{kGoldenWeightPath, kGoldenWeightKey}}) && ok;
    const Result<std::vector<std::byte>> reference = encode_reference(kGoldenBlobKey, "main");
    ok = reference.ok() && write(golden + "v1_reference.cmlb", as_text(*reference)) && ok;
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
