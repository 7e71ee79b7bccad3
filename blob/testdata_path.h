#ifndef COREML_DELEGATE_BLOB_TESTDATA_PATH_H_
#define COREML_DELEGATE_BLOB_TESTDATA_PATH_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/bytes.h"
#include "base/file.h"

namespace coreml_delegate::blob {

// A file of this workspace, given to a test as data.
inline std::string data_path(const std::string& path) {
  const char* sources = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  if (sources == nullptr || workspace == nullptr) return path;
  return std::string(sources) + "/" + workspace + "/" + path;
}

inline Bytes read_data(const std::string& path) {
  const Result<Bytes> bytes = real_file_system().map(data_path(path));
  EXPECT_TRUE(bytes.ok()) << bytes.status().to_string();
  return bytes.ok() ? *bytes : Bytes();
}

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_TESTDATA_PATH_H_
