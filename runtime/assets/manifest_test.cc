#include "runtime/assets/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/checksum.h"
#include "base/sha256.h"
#include "base/testing_memory_files.h"
#include "runtime/assets/testing_models.h"

namespace coreml_delegate::assets {
namespace {

using testing::HasSubstr;

Manifest example() {
  Manifest manifest{.key = test_key(1), .nonce = "n", .created_ms = 1'700'000'000'123, .files = {}};
  manifest.files.push_back({"sub/a.bin", 3 * kChunkBytes + 1, std::vector<uint64_t>(4, 7)});
  manifest.files.push_back({"empty", 0, {}});
  return manifest;
}

// What is between the line's end and the checksum, made to fit `json`.
std::string with_checksum(const std::string& json) {
  return json + "\n" + to_hex(sha256(as_bytes(json + "\n"))) + "\n";
}

TEST(ManifestTest, ComesBack) {
  const Result<Manifest> parsed = parse_manifest(to_text(example()));
  ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
  EXPECT_EQ(parsed->key, example().key);
  EXPECT_EQ(parsed->key.attributes, example().key.attributes);
  EXPECT_TRUE(parsed->is_current);
  EXPECT_EQ(parsed->nonce, "n");
  EXPECT_EQ(parsed->created_ms, 1'700'000'000'123);
  EXPECT_EQ(parsed->files, example().files);
  EXPECT_EQ(parsed->total_bytes(), 3 * kChunkBytes + 1);
}

TEST(ManifestTest, AnyCutAndAnyFlippedBitIsFound) {
  const std::string text = to_text(example());
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(parse_manifest(text.substr(0, i)).status().code(), StatusCode::kCorruptData) << i;
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_EQ(parse_manifest(flipped).status().code(), StatusCode::kCorruptData) << i;
  }
}

// A right checksum proves nothing about who wrote it.
TEST(ManifestTest, RulesHoldForAnyContent) {
  const std::string good = to_text(example());
  const std::string json = good.substr(0, good.find('\n'));
  ASSERT_TRUE(parse_manifest(with_checksum(json)).ok());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return parse_manifest(with_checksum(text.replace(at, from.size(), to))).status().code();
  };
  EXPECT_EQ(replaced("sub/a.bin", "../a.bin"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("sub/a.bin", "/sub/a"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("\"size\":0", "\"size\":-1"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("\"size\":0", "\"size\":18446744073709551615"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("\"size\":0", "\"size\":1e300"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("0000000000000007", "000000000000000g"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("0000000000000007", "07"), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("\"attributes\"", "\"attribute\""), StatusCode::kCorruptData);
  EXPECT_EQ(replaced("asset 2", "asset 3"), StatusCode::kCorruptData);
  EXPECT_EQ(parse_manifest(with_checksum("[]")).status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(parse_manifest(with_checksum(std::string(100'000, '['))).status().code(),
            StatusCode::kCorruptData);
}

// As it was before requests were opaque.
TEST(ManifestTest, AnEarlierFormatIsListedAndNeverFound) {
  const std::string digest(64, 'a');
  const Result<Manifest> parsed = parse_manifest(with_checksum(
      R"({"compute_units":"all","content":")" + digest +
      R"(","created_ms":5,"engine":"portable",)" + R"("files":[{"path":"graph.ov","sha256":[")" +
      digest + R"("],"size":12}],)" +
      R"("fingerprint":"f","format":"coreml-delegate asset 1","function":"main","nonce":"n",)" +
      R"("numeric_mode":"float16","platform":"p"})"));
  ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
  EXPECT_FALSE(parsed->is_current);
  EXPECT_EQ(parsed->total_bytes(), 12u);
  EXPECT_EQ(parsed->key.request, "");
  const Attributes attributes = {{"compute_units", "all"},    {"engine", "portable"},
                                 {"fingerprint", "f"},        {"function", "main"},
                                 {"numeric_mode", "float16"}, {"platform", "p"}};
  EXPECT_EQ(parsed->key.attributes, attributes);
}

class VerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.make_directory("/c").ok());
    ASSERT_TRUE(compile_test_model(files_, "/c", 1, 3 * kChunkBytes + 5).ok());
    manifest_ = {.key = test_key(1), .nonce = "n", .created_ms = 0, .files = {}};
    manifest_.files = *measure_folder(files_, "/c", true);
  }
  void write(const std::string& path, const std::string& text) {
    (void)files_.remove_file(path);
    files_.put(path, FileKind::kFile, text);
  }

  InMemoryFiles files_;
  Manifest manifest_;
};

TEST_F(VerifyTest, MeasuresEveryFile) {
  ASSERT_EQ(manifest_.files.size(), 2u);
  EXPECT_EQ(manifest_.files[0].path, "sub/model.txt");
  EXPECT_EQ(manifest_.files[0].size, 7u);
  EXPECT_EQ(manifest_.files[0].chunks[0], checksum(as_bytes("model 1")));
  EXPECT_EQ(manifest_.files[1].chunks.size(), 4u);
  EXPECT_TRUE(verify_folder(files_, "/c", manifest_, VerifyDepth::kFull).ok());
}

TEST_F(VerifyTest, FindsAWrongByteAndNamesIt) {
  std::string text = test_weights(1, 3 * kChunkBytes + 5);
  text[2 * kChunkBytes + 9] ^= 1;
  write("/c/weights.bin", text);
  EXPECT_TRUE(verify_folder(files_, "/c", manifest_, VerifyDepth::kSizes).ok());
  const Status status = verify_folder(files_, "/c", manifest_, VerifyDepth::kFull);
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_EQ(status.artifact(), "/c/weights.bin");
  EXPECT_THAT(status.message(), HasSubstr("byte 2097152"));
}

TEST_F(VerifyTest, SampleFindsItInTheEndSoonerOrLater) {
  std::string text = test_weights(1, 3 * kChunkBytes + 5);
  text[kChunkBytes + 9] ^= 1;
  write("/c/weights.bin", text);
  int found = 0;
  for (int i = 0; i < 200 && found == 0; ++i) {
    found += verify_folder(files_, "/c", manifest_, VerifyDepth::kSample).ok() ? 0 : 1;
  }
  EXPECT_EQ(found, 1);
}

TEST_F(VerifyTest, MissingAndResizedFilesAreFoundAtAnyDepth) {
  write("/c/sub/model.txt", "model 12");
  EXPECT_EQ(verify_folder(files_, "/c", manifest_, VerifyDepth::kSizes).code(),
            StatusCode::kCorruptData);
  ASSERT_TRUE(files_.remove_file("/c/sub/model.txt").ok());
  EXPECT_EQ(verify_folder(files_, "/c", manifest_, VerifyDepth::kSizes).code(),
            StatusCode::kCorruptData);
}

TEST_F(VerifyTest, LinksAreNoPartOfACompiledModel) {
  files_.put("/c/link", FileKind::kSymbolicLink);
  EXPECT_EQ(measure_folder(files_, "/c", true).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace coreml_delegate::assets
