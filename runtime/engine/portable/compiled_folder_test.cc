#include "runtime/engine/portable/compiled_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>

#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::HasSubstr;

constexpr char kFolder[] = "/compiled";
constexpr char kRequest[] = "{\"engine\":\"portable\"}";

constexpr std::string_view kFirstWeight = "of ten byt";
constexpr std::string_view kSecondWeight =
    "of sixty-four bytes, so that nothing is to be added behind it...";
std::string expected_weights() {
  return std::string(kFirstWeight) + std::string(54, '\0') + std::string(kSecondWeight);
}

CompiledFolder example() {
  CompiledFolder content;
  content.request = kRequest;
  content.plan.description.name = "main";
  content.weight_parts = {Bytes(as_bytes(kFirstWeight)), Bytes(as_bytes(kSecondWeight))};
  return content;
}

// As OpenVINO does it: a header with the sizes of what follows, filled in at the end.
Status export_example(std::ostream& stream) {
  stream << "HEADER--" << std::string(5000, 'a');
  const auto end = stream.tellp();
  stream.seekp(0);
  stream << "header";
  stream.seekp(0, std::ios::end);
  // Where the file refused something, the stream is of no use any more.
  if (stream.good()) {
    EXPECT_EQ(stream.tellp(), end);
  }
  stream << std::string(3 << 20, 'b');
  return {};
}
std::string expected_graph() {
  return "header--" + std::string(5000, 'a') + std::string(3 << 20, 'b');
}

class CompiledFolderTest : public ::testing::Test {
 protected:
  CompiledFolderTest() { EXPECT_TRUE(memory_.make_directory(kFolder).ok()); }
  Status write() { return write_compiled_folder(files_, kFolder, example(), export_example); }
  Result<CompiledFolder> read() { return read_compiled_folder(files_, kFolder); }
  std::string content(const std::string& path) {
    return std::string(as_text((*memory_.map(path)).span()));
  }
  void replace(const std::string& path, const std::string& content) {
    EXPECT_TRUE(memory_.remove_file(path).ok());
    memory_.put(path, FileKind::kFile, content);
  }
  InMemoryFiles memory_;
  FailingFileSystem files_{memory_};
};

TEST_F(CompiledFolderTest, WritesAndReads) {
  const Status written = write();
  ASSERT_TRUE(written.ok()) << written.to_string();
  const Result<CompiledFolder> folder = read();
  ASSERT_TRUE(folder.ok()) << folder.status().to_string();
  EXPECT_EQ(folder->request, kRequest);
  EXPECT_EQ(folder->plan.description.name, "main");
  EXPECT_TRUE(as_text(folder->graph.span()) == expected_graph());
  EXPECT_EQ(as_text(folder->weights.span()), expected_weights());
}

TEST_F(CompiledFolderTest, WithoutWeightsThereIsNoFileOfThem) {
  CompiledFolder content = example();
  content.weight_parts.clear();
  ASSERT_TRUE(write_compiled_folder(files_, kFolder, content, export_example).ok());
  EXPECT_FALSE(memory_.map(std::string(kFolder) + "/weights.bin").ok());
  const Result<CompiledFolder> folder = read();
  ASSERT_TRUE(folder.ok()) << folder.status().to_string();
  EXPECT_EQ(folder->weights.size(), 0u);
}

TEST_F(CompiledFolderTest, AnotherFormatIsAFailedPrecondition) {
  ASSERT_TRUE(write().ok());
  const std::string path = std::string(kFolder) + "/description.json";
  std::string description = content(path);
  const size_t at = description.find("portable 3");
  ASSERT_NE(at, std::string::npos);
  replace(path, description.replace(at, 10, "portable 1"));
  EXPECT_EQ(read().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(read().status().to_string(), HasSubstr("portable 1"));
}

// Which byte changed is the store's to find; what is not whole never gets as far as OpenVINO.
TEST_F(CompiledFolderTest, AFolderThatIsNotWholeIsCorrupt) {
  ASSERT_TRUE(write().ok());
  const std::string path = std::string(kFolder) + "/description.json";
  const std::string whole = content(path);
  for (size_t length = 0; length + 1 < whole.size(); ++length) {
    replace(path, whole.substr(0, length));
    ASSERT_EQ(read().status().code(), StatusCode::kCorruptData) << length;
  }
  replace(path, whole);
  EXPECT_TRUE(read().ok());

  const std::string graph_path = std::string(kFolder) + "/graph.ov";
  const std::string graph = content(graph_path);
  for (const std::string& changed : {graph.substr(1), graph + "x", std::string()}) {
    replace(graph_path, changed);
    EXPECT_EQ(read().status().code(), StatusCode::kCorruptData);
    EXPECT_THAT(read().status().to_string(), HasSubstr("graph.ov"));
  }
  replace(graph_path, graph);
  EXPECT_TRUE(read().ok());
  const std::string weights_path = std::string(kFolder) + "/weights.bin";
  const std::string weights = content(weights_path);
  for (const std::string& changed : {weights.substr(1), weights + "x", std::string()}) {
    replace(weights_path, changed);
    EXPECT_EQ(read().status().code(), StatusCode::kCorruptData);
    EXPECT_THAT(read().status().to_string(), HasSubstr("weights.bin"));
  }
  ASSERT_TRUE(memory_.remove_file(weights_path).ok());
  EXPECT_EQ(read().status().code(), StatusCode::kCorruptData);
  memory_.put(weights_path, FileKind::kFile, weights);
  ASSERT_TRUE(memory_.remove_file(graph_path).ok());
  EXPECT_EQ(read().status().code(), StatusCode::kCorruptData);
}

// Whatever fails while it is written, what can be read afterwards is whole or refused.
TEST_F(CompiledFolderTest, EveryFailedFileOperationIsReported) {
  for (uint64_t call = 1;; ++call) {
    ASSERT_TRUE(memory_.remove_tree(kFolder).ok());
    ASSERT_TRUE(memory_.make_directory(kFolder).ok());
    files_.clear();
    files_.fail_call(call, io_error("injected"));
    const Status status = write();
    if (status.ok()) {
      EXPECT_GT(call, 6u);
      break;
    }
    EXPECT_EQ(status.code(), StatusCode::kIoError) << status.to_string();
    files_.clear();
    const Result<CompiledFolder> folder = read();
    if (folder.ok()) {
      EXPECT_TRUE(as_text(folder->graph.span()) == expected_graph());
      EXPECT_EQ(as_text(folder->weights.span()), expected_weights());
    }
  }
}

TEST_F(CompiledFolderTest, AFailedExportIsReported) {
  const Status status = write_compiled_folder(files_, kFolder, example(), [](std::ostream& stream) {
    stream << "half";
    return engine_failure("the exporter gave up");
  });
  EXPECT_THAT(status.to_string(), HasSubstr("gave up"));
  EXPECT_EQ(read().status().code(), StatusCode::kCorruptData);
}

// Going back works anywhere, and across the end of what was written.
TEST_F(CompiledFolderTest, AnExportIsMadeOnceAndMayGoBackAnywhere) {
  int times = 0;
  const Status status =
      write_compiled_folder(files_, kFolder, example(), [&](std::ostream& stream) -> Status {
        ++times;
        stream << std::string(3 << 20, 'a');
        stream.seekp((3 << 20) - 2);
        stream << "xyz";
        stream.seekp(9000);
        stream << "q";
        stream.seekp(-1, std::ios::cur);
        stream << "r";
        stream.seekp(0, std::ios::end);
        stream << "end";
        return {};
      });
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(times, 1);
  std::string expected(3 << 20, 'a');
  expected[9000] = 'r';
  expected.replace(expected.size() - 2, 2, "xy");
  EXPECT_TRUE(as_text(read()->graph.span()) == expected + "zend");
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
