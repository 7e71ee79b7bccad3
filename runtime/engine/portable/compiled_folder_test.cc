#include "runtime/engine/portable/compiled_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"
#include "runtime/engine/portable/checksum.h"

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::HasSubstr;

constexpr char kFolder[] = "/compiled";
constexpr char kFingerprint[] = "portable of today";

CompiledFolder example() {
  CompiledFolder content;
  content.fingerprint = kFingerprint;
  content.numeric_mode = NumericMode::kFloat16;
  content.plan.description.name = "main";
  return content;
}

// As OpenVINO does it: a header with the sizes of what follows, filled in at the end.
Status export_example(std::ostream& stream) {
  stream << "HEADER--" << std::string(5000, 'a');
  const auto end = stream.tellp();
  stream.seekp(0);
  stream << "header";
  stream.seekp(0, std::ios::end);
  EXPECT_EQ(stream.tellp(), end);
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
  Result<CompiledFolder> read(const std::string& fingerprint = kFingerprint) {
    return read_compiled_folder(files_, kFolder, fingerprint);
  }
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
  EXPECT_EQ(folder->fingerprint, kFingerprint);
  EXPECT_EQ(folder->numeric_mode, NumericMode::kFloat16);
  EXPECT_EQ(folder->plan.description.name, "main");
  EXPECT_TRUE(as_text(folder->graph.span()) == expected_graph());
}

TEST_F(CompiledFolderTest, AnotherFingerprintIsAFailedPrecondition) {
  ASSERT_TRUE(write().ok());
  const Status status = read("portable of tomorrow").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.to_string(), HasSubstr("portable of today"));
  EXPECT_THAT(status.to_string(), HasSubstr("portable of tomorrow"));
}

TEST_F(CompiledFolderTest, NoticesEveryDamagedByte) {
  ASSERT_TRUE(write().ok());
  const std::string path = std::string(kFolder) + "/description.json";
  const std::string whole = content(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    replace(path, damaged);
    const Result<CompiledFolder> folder = read();
    ASSERT_FALSE(folder.ok()) << i;
    EXPECT_EQ(folder.status().code(), StatusCode::kCorruptData);
  }
  replace(path, whole);
  EXPECT_TRUE(read().ok());

  const std::string graph_path = std::string(kFolder) + "/graph.ov";
  const std::string graph = content(graph_path);
  for (const size_t at : {size_t{0}, size_t{4096}, graph.size() / 2, graph.size() - 1}) {
    std::string damaged = graph;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    replace(graph_path, damaged);
    EXPECT_THAT(read().status().to_string(), HasSubstr("graph.ov"));
  }
  replace(graph_path, graph.substr(1));
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

// The header of the first export is what the file of the second begins with: they must agree.
TEST_F(CompiledFolderTest, AnExportThatDiffersIsReported) {
  int times = 0;
  const Status status =
      write_compiled_folder(files_, kFolder, example(), [&](std::ostream& stream) -> Status {
        stream << "export " << ++times;
        return {};
      });
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_THAT(status.to_string(), HasSubstr("in two ways"));
}

TEST_F(CompiledFolderTest, AnExportThatGoesFarBackIsReported) {
  const Status status =
      write_compiled_folder(files_, kFolder, example(), [&](std::ostream& stream) -> Status {
        stream << std::string(10000, 'a');
        stream.seekp(9000);
        stream << "x";
        return {};
      });
  EXPECT_THAT(status.to_string(), HasSubstr("behind its header"));
}

// The reference values of the XXH64 specification (seed 0).
TEST(Checksum, MatchesItsSpecification) {
  EXPECT_EQ(checksum({}), 0xEF46DB3751D8E999u);
  EXPECT_EQ(checksum(as_bytes("a")), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(checksum(as_bytes("abc")), 0x44BC2CF5AD770999u);
  EXPECT_EQ(checksum(as_bytes("Nobody inspects the spammish repetition")), 0xFBCEA83C8A378BF1u);
}

TEST(Checksum, IsTheSameInPieces) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  for (const size_t piece : {1, 3, 31, 32, 33, 64, 100, 999}) {
    Checksum sum;
    for (size_t at = 0; at < text.size(); at += piece) sum.update(as_bytes(text.substr(at, piece)));
    EXPECT_EQ(sum.value(), checksum(as_bytes(text))) << piece;
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
