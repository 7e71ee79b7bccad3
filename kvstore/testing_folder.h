#ifndef COREML_DELEGATE_KVSTORE_TESTING_FOLDER_H_
#define COREML_DELEGATE_KVSTORE_TESTING_FOLDER_H_

// A folder that is removed at the end of a test.

#include <gtest/gtest.h>

#include <string>

#include "base/file.h"

namespace coreml_delegate::kvstore {

class TestingFolder {
 public:
  TestingFolder()
      : path_(real_file_system().make_unique_directory(testing::TempDir(), "kvstore.").value()) {}
  TestingFolder(const TestingFolder&) = delete;
  TestingFolder& operator=(const TestingFolder&) = delete;
  ~TestingFolder() { EXPECT_TRUE(real_file_system().remove_tree(path_).ok()); }

  std::string at(const std::string& name) const { return join_path(path_, name); }

 private:
  const std::string path_;
};

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_TESTING_FOLDER_H_
