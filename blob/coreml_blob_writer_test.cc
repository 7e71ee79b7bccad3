#include "blob/coreml_blob_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/testing_failing_files.h"
#include "base/testing_memory_files.h"
#include "blob/testing_blob.h"

namespace coreml_delegate::blob {
namespace {

using testing::HasSubstr;

std::string written(const CoreMLBlobWriter& writer) {
  std::vector<std::byte> bytes;
  VectorSink sink(bytes);
  EXPECT_TRUE(writer.write(sink).ok());
  EXPECT_EQ(bytes.size(), writer.size());
  return std::string(as_text(bytes));
}

std::string golden(const std::map<std::string, std::string>& keys = {}) {
  const Result<CoreMLBlobWriter> writer =
      CoreMLBlobWriter::create(golden_description(), owning_tree(golden_files()), keys);
  EXPECT_TRUE(writer.ok()) << writer.status().to_string();
  return written(*writer);
}

std::map<std::string, std::string> contents(const inmemoryfs::InMemoryFileSystem& tree) {
  std::map<std::string, std::string> files;
  EXPECT_TRUE(tree.walk("",
                        [&](std::string_view path, const inmemoryfs::Metadata& metadata,
                            const Bytes& content) {
                          if (metadata.kind == inmemoryfs::NodeKind::kFile) {
                            files.emplace(path, as_text(content.span()));
                          }
                          return Status();
                        })
                  .ok());
  return files;
}

TEST(CoreMLBlobWriterTest, SameContentGivesTheSameBytes) { EXPECT_EQ(golden(), golden()); }

TEST(CoreMLBlobWriterTest, ForBothRuntimesEveryFileIsThereOnce) {
  const std::string bytes = written(both_description());
  EXPECT_EQ(bytes, written(both_description()));
  for (const auto& [path, content] : golden_files()) {
    if (content.size() < 16) continue;
    const size_t at = bytes.find(content);
    EXPECT_NE(at, std::string::npos) << path;
    EXPECT_EQ(bytes.find(content, at + 1), std::string::npos) << path;
  }
  // The blob for this runtime alone is the same but for the numbers in its table and the tail.
  BlobDescription alone = both_description();
  alone.for_stock_runtime = false;
  const std::string without = written(alone);
  EXPECT_LT(bytes.size() - without.size(), 2048u);
  const Result<Blob> first = open_coreml_blob(owning_bytes(bytes), {});
  const Result<Blob> second = open_coreml_blob(owning_bytes(without), {});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(to_hex(first->content_id), to_hex(second->content_id));
}

TEST(CoreMLBlobWriterTest, ForBothRuntimesOneFunctionHasNoNameInMetadata) {
  for (const bool with_map : {true, false}) {
    BlobDescription description = both_description();
    description.functions.resize(1);
    description.kind = Kind::kCompiled;
    if (!with_map) description.debug_map = Bytes();
    const Bytes bytes = owning_bytes(written(description));
    const Result<Blob> ours = open_coreml_blob(bytes, {});
    ASSERT_TRUE(ours.ok()) << ours.status().to_string();
    const Result<Blob> stock = open_flattened_directory(bytes);
    ASSERT_TRUE(stock.ok()) << stock.status().to_string();
    ASSERT_EQ(stock->functions.size(), 1u);
    EXPECT_EQ(stock->functions[0].name, "");
    EXPECT_EQ(stock->functions[0].inputs[0].name, "ids");
    EXPECT_EQ(stock->kind, Kind::kCompiled);
    EXPECT_EQ(contents(stock->files), contents(ours->files));
    EXPECT_EQ(stock->debug_map.size(), with_map ? 18u : 0u);
  }
}

TEST(CoreMLBlobWriterTest, ForBothRuntimesWhatTheStockFormCannotCarryIsRefused) {
  BlobDescription description = golden_description();
  description.for_stock_runtime = true;
  Status status = CoreMLBlobWriter::create(description, owning_tree(golden_files())).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.to_string(), HasSubstr("starts with values of its own"));
  EXPECT_THAT(status.to_string(), HasSubstr("state cache of function main"));
  status = CoreMLBlobWriter::create(both_description(), owning_tree(golden_files()),
                                    {{kGoldenWeightPath, kGoldenWeightKey}})
               .status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.to_string(), HasSubstr("cannot read files that lie in named data"));
}

TEST(CoreMLBlobWriterTest, OrderOfTheDescriptionDoesNotMatter) {
  BlobDescription turned = golden_description();
  std::swap(turned.functions[0], turned.functions[1]);
  std::swap(turned.functions[0].states[0], turned.functions[0].states[1]);
  const Result<CoreMLBlobWriter> writer =
      CoreMLBlobWriter::create(turned, owning_tree(golden_files()));
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(written(*writer), golden());
}

TEST(CoreMLBlobWriterTest, PlacesFilesByPathAtTheAlignment) {
  const std::string bytes = golden();
  const Result<Blob> blob = open_coreml_blob(owning_bytes(bytes), {});
  ASSERT_TRUE(blob.ok());
  // Padding is zero, files follow one another: "Data/com.../model.mlmodel" (21 bytes), the weights
  // (300), the cache (8), the manifest.
  const size_t payload = bytes.find("a model specification");
  ASSERT_EQ(payload % 64, 0u);
  EXPECT_EQ(bytes.substr(payload + 21, 43), std::string(43, '\0'));
  EXPECT_EQ(bytes.substr(payload + 64, 300), golden_files()[kGoldenWeightPath]);
  EXPECT_EQ(bytes.substr(payload + 64 + 320, 8), golden_files()["Data/executorch/cache.bin"]);
  EXPECT_EQ(bytes.substr(payload + 64 + 320 + 64), golden_files()["Manifest.json"]);
}

TEST(CoreMLBlobWriterTest, IdentityDoesNotDependOnPlacementOrNotes) {
  const auto id = [](const BlobDescription& description,
                     const std::map<std::string, std::string>& keys) {
    const Result<CoreMLBlobWriter> writer =
        CoreMLBlobWriter::create(description, owning_tree(golden_files()), keys);
    EXPECT_TRUE(writer.ok());
    return writer->content_id();
  };
  BlobDescription other = golden_description();
  other.alignment = 4096;
  other.producer = "somebody else";
  other.producer_versions.clear();
  other.compute_units = "all";
  other.debug_map = {};
  other.functions[0].method = "renamed";
  EXPECT_EQ(id(golden_description(), {}), id(other, {{kGoldenWeightPath, "key"}}));
}

TEST(CoreMLBlobWriterTest, EveryAlignmentReadsBack) {
  for (uint32_t alignment = 1; alignment <= 65536; alignment *= 2) {
    BlobDescription description = golden_description();
    description.alignment = alignment;
    const Result<CoreMLBlobWriter> writer =
        CoreMLBlobWriter::create(description, owning_tree(golden_files()));
    ASSERT_TRUE(writer.ok());
    OpenOptions options;
    options.verify_checksums = true;
    const Bytes bytes = owning_bytes(written(*writer));
    const Result<Blob> blob = open_coreml_blob(bytes, options);
    ASSERT_TRUE(blob.ok()) << alignment << ": " << blob.status().to_string();
    EXPECT_EQ(contents(blob->files), golden_files());
    EXPECT_EQ((blob->files.read(kGoldenWeightPath)->data() - bytes.data()) % alignment, 0);
  }
}

TEST(CoreMLBlobWriterTest, NamedDataHasNoBytesInTheBlob) {
  const std::map<std::string, std::string> keys = {{kGoldenWeightPath, "weights"}};
  EXPECT_EQ(golden(keys).find(golden_files()[kGoldenWeightPath].substr(0, 32)), std::string::npos);
  std::map<std::string, std::string> all;
  for (const auto& [path, content] : golden_files()) all[path] = path;
  const std::string bytes = golden(all);
  EXPECT_EQ(bytes.size() % 64, 0u) << "the padding before an empty payload is there";
  OpenOptions options;
  options.verify_checksums = true;
  options.named_data = [](const std::string& key) -> Result<Bytes> {
    return owning_bytes(golden_files().at(key));
  };
  const Result<Blob> blob = open_coreml_blob(owning_bytes(bytes), options);
  ASSERT_TRUE(blob.ok()) << blob.status().to_string();
  EXPECT_EQ(contents(blob->files), golden_files());
}

TEST(CoreMLBlobWriterTest, EmptyDirectoriesAreLeftOut) {
  inmemoryfs::InMemoryFileSystem tree = owning_tree(golden_files());
  ASSERT_TRUE(tree.add_directory("Data/nothing/here").ok());
  const Result<CoreMLBlobWriter> writer = CoreMLBlobWriter::create(golden_description(), tree);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(written(*writer), golden());
}

TEST(CoreMLBlobWriterTest, StreamsIntoAFile) {
  InMemoryFiles memory;
  Result<std::unique_ptr<WritableFile>> file = memory.create("/blob");
  ASSERT_TRUE(file.ok());
  const Result<CoreMLBlobWriter> writer =
      CoreMLBlobWriter::create(golden_description(), owning_tree(golden_files()));
  ASSERT_TRUE(writer.ok());
  FileSink sink(**file);
  ASSERT_TRUE(writer->write(sink).ok());
  ASSERT_TRUE((*file)->close().ok());
  EXPECT_EQ(as_text(memory.map("/blob")->span()), golden());
}

TEST(CoreMLBlobWriterTest, FullDiskIsReported) {
  InMemoryFiles memory;
  FailingFileSystem files(memory);
  Result<std::unique_ptr<WritableFile>> file = files.create("/blob");
  ASSERT_TRUE(file.ok());
  const Result<CoreMLBlobWriter> writer =
      CoreMLBlobWriter::create(golden_description(), owning_tree(golden_files()));
  FileSink sink(**file);
  ASSERT_TRUE(writer->write(sink).ok());
  const uint64_t calls = files.calls();
  for (uint64_t call = 1; call < calls; ++call) {
    files.fail_call(call, resource_exhausted("full"));
    EXPECT_EQ(writer->write(sink).code(), StatusCode::kResourceExhausted) << call;
  }
}

TEST(CoreMLBlobWriterTest, SendsTheCallersBytesNotCopies) {
  // Sees each file's bytes at the address where the tree has them.
  class Watcher final : public ByteSink {
   public:
    explicit Watcher(const std::byte* wanted) : wanted_(wanted) {}
    Status append(ByteSpan bytes) override {
      seen_ = seen_ || bytes.data() == wanted_;
      return {};
    }
    bool seen() const { return seen_; }

   private:
    const std::byte* wanted_;
    bool seen_ = false;
  };
  const inmemoryfs::InMemoryFileSystem tree = owning_tree(golden_files());
  const Result<CoreMLBlobWriter> writer = CoreMLBlobWriter::create(golden_description(), tree);
  Watcher watcher(tree.read(kGoldenWeightPath)->data());
  ASSERT_TRUE(writer->write(watcher).ok());
  EXPECT_TRUE(watcher.seen());
}

TEST(CoreMLBlobWriterTest, RefusesWhatAReaderWouldRefuse) {
  const auto refusal = [](const std::function<void(BlobDescription&)>& change) {
    BlobDescription description = golden_description();
    change(description);
    const Status status =
        CoreMLBlobWriter::create(description, owning_tree(golden_files())).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.to_string();
    return status.to_string();
  };
  EXPECT_THAT(refusal([](auto& d) { d.alignment = 3; }), HasSubstr("the alignment 3"));
  EXPECT_THAT(refusal([](auto& d) { d.functions.clear(); }), HasSubstr("no function"));
  EXPECT_THAT(refusal([](auto& d) { d.functions[0].name = "main"; }), HasSubstr("this name"));
  EXPECT_THAT(refusal([](auto& d) { d.functions[0].inputs[0].dtype = DataType::kInvalid; }),
              HasSubstr("dtype 0"));
  EXPECT_THAT(refusal([](auto& d) { d.functions[1].states[1].initial_value_path = "none"; }),
              HasSubstr("not a file of the blob: none"));
  EXPECT_THAT(refusal([](auto& d) { d.compute_units = "\xff"; }), HasSubstr("compute units"));
  EXPECT_THAT(refusal([](auto& d) { d.producer_versions[0].second = std::string(5000, '1'); }),
              HasSubstr("more than 4096 bytes"));
}

TEST(CoreMLBlobWriterTest, RefusesWrongFilesAndKeys) {
  EXPECT_THAT(CoreMLBlobWriter::create(golden_description(), {}).status().to_string(),
              HasSubstr("not a file of the blob"));
  BlobDescription stateless = golden_description();
  for (Function& function : stateless.functions) function.states.clear();
  EXPECT_THAT(CoreMLBlobWriter::create(stateless, {}).status().to_string(), HasSubstr("no file"));
  const Status missing =
      CoreMLBlobWriter::create(golden_description(), owning_tree(golden_files()), {{"none", "key"}})
          .status();
  EXPECT_EQ(missing.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(missing.artifact(), "none");
  EXPECT_EQ(CoreMLBlobWriter::create(golden_description(), owning_tree(golden_files()),
                                     {{kGoldenWeightPath, ""}})
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(EncodeReferenceTest, ChecksItsNames) {
  EXPECT_TRUE(encode_reference("key", "main").ok());
  EXPECT_EQ(encode_reference("", "main").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(encode_reference("key", "\xff").status().code(), StatusCode::kInvalidArgument);
}

TEST(BufferSinkTest, NeverWritesBeyondItsMemory) {
  std::byte memory[4] = {};
  BufferSink sink(memory);
  EXPECT_TRUE(sink.append(as_bytes("abc")).ok());
  EXPECT_EQ(sink.append(as_bytes("de")).code(), StatusCode::kInternal);
  EXPECT_EQ(sink.remaining(), 1u);
  EXPECT_TRUE(sink.append_zeros(1).ok());
  EXPECT_EQ(as_text(memory), std::string_view("abc\0", 4));
}

// Random content, written and read back.
TEST(CoreMLBlobWriterTest, RandomBlobsReadBack) {
  const uint32_t seed = 20250117;
  std::mt19937 random(seed);
  for (int round = 0; round < 100; ++round) {
    std::map<std::string, std::string> files;
    for (uint32_t i = 0, n = 1 + random() % 8; i < n; ++i) {
      std::string path = "f" + std::to_string(random() % 50);
      for (uint32_t k = random() % 3; k > 0; --k)
        path = "d" + std::to_string(random() % 3) + "/" + path;
      files[path] = std::string(random() % 500, static_cast<char>(random()));
    }
    BlobDescription description;
    description.alignment = 1u << (random() % 17);
    Function function;
    function.name = "f" + std::to_string(random() % 10);
    for (uint32_t i = 0, n = random() % 5; i < n; ++i) {
      TensorSpec& tensor = function.inputs.emplace_back();
      tensor.name = "in" + std::to_string(i);
      tensor.dtype = static_cast<DataType>(1 + random() % 10);
      for (uint32_t k = random() % 5; k > 0; --k)
        tensor.shape.push_back({2, static_cast<int64_t>(2 + random() % 3)});
    }
    description.functions = {function};
    const Result<CoreMLBlobWriter> writer =
        CoreMLBlobWriter::create(description, owning_tree(files));
    ASSERT_TRUE(writer.ok()) << "seed " << seed << " round " << round << ": "
                             << writer.status().to_string();
    OpenOptions options;
    options.verify_checksums = true;
    const Result<Blob> blob = open_coreml_blob(owning_bytes(written(*writer)), options);
    ASSERT_TRUE(blob.ok()) << "seed " << seed << " round " << round << ": "
                           << blob.status().to_string();
    EXPECT_EQ(contents(blob->files), files);
    EXPECT_EQ(blob->functions, description.functions);
  }
}

}  // namespace
}  // namespace coreml_delegate::blob
