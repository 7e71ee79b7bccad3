#include "blob/blob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "blob/corrupt_cases.h"
#include "blob/testdata_path.h"
#include "blob/testing_blob.h"

namespace coreml_delegate::blob {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The identity of the goldens' content, whichever way its bytes are placed.
constexpr char kGoldenId[] = "0767e3d82767fccdb4f4ac2dc9a8ca5914f80ac9f7481d33a0ff5f8b6df94804";

Bytes golden(const std::string& name) { return read_data("blob/testdata/golden/" + name); }

std::map<std::string, std::string> contents(const inmemoryfs::InMemoryFileSystem& tree) {
  std::map<std::string, std::string> files;
  const Status status = tree.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& m, const Bytes& content) {
        if (m.kind == inmemoryfs::NodeKind::kFile) files.emplace(path, as_text(content.span()));
        return Status();
      });
  EXPECT_TRUE(status.ok());
  return files;
}

// The golden's functions as the writer sorts them: "main" first, "cache" before "zeros".
std::vector<Function> golden_functions() {
  std::vector<Function> functions = golden_description().functions;
  std::swap(functions[0], functions[1]);
  std::swap(functions[0].states[0], functions[0].states[1]);
  return functions;
}

void expect_golden_content(const Blob& blob) {
  const BlobDescription expected = golden_description();
  EXPECT_EQ(blob.format, Format::kCoreMLBlob);
  EXPECT_EQ(blob.kind, Kind::kPackage);
  EXPECT_EQ(to_hex(blob.content_id), kGoldenId);
  EXPECT_EQ(blob.specification_version, 9);
  EXPECT_EQ(contents(blob.files), golden_files());
  EXPECT_EQ(blob.functions, golden_functions());
  EXPECT_EQ(blob.compute_units, "cpu_and_ne");
  EXPECT_EQ(blob.compute_precision, "float16");
  EXPECT_EQ(blob.deployment_target, "iOS18");
  EXPECT_EQ(blob.producer, expected.producer);
  EXPECT_EQ(blob.producer_versions, expected.producer_versions);
  EXPECT_EQ(as_text(blob.debug_map.span()), "{\"operations\": {}}");
}

TEST(GoldenTest, V1Inline) {
  const Bytes bytes = golden("v1_inline.cmlb");
  const Result<DelegateCall> call = open_delegate_call(bytes, {});
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->function_name, "");
  expect_golden_content(call->blob);
  ASSERT_EQ(call->blob.file_records.size(), 5u);
  EXPECT_EQ(call->blob.file_records[0].path, "Data/com.apple.CoreML/model.mlmodel");
  EXPECT_EQ(call->blob.file_records[0].named_data_key, "");
  EXPECT_EQ(to_hex(*verify_content(call->blob)), kGoldenId);
  EXPECT_EQ(to_hex(*compute_content_id(call->blob)), kGoldenId);
}

// The same content, written by the Python writer.
TEST(GoldenTest, V1InlineOfThePythonWriter) {
  OpenOptions options;
  options.verify_checksums = true;
  const Result<DelegateCall> call = open_delegate_call(golden("v1_inline_python.cmlb"), options);
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  expect_golden_content(call->blob);
}

TEST(GoldenTest, V1InlineBorrowsItsBytes) {
  const Bytes bytes = golden("v1_inline.cmlb");
  const Result<Blob> blob = open_coreml_blob(bytes, {});
  ASSERT_TRUE(blob.ok());
  for (const FileRecord& record : blob->file_records) {
    const Result<Bytes> file = blob->files.read(record.path);
    ASSERT_TRUE(file.ok());
    EXPECT_GE(file->data(), bytes.data());
    EXPECT_LE(file->data() + file->size(), bytes.data() + bytes.size());
    EXPECT_EQ((file->data() - bytes.data()) % 64, 0) << record.path;
    EXPECT_EQ(file->owner(), bytes.owner());
  }
}

// What both runtimes see of a blob is the same.
void expect_same_for_the_stock_runtime(const Bytes& bytes) {
  const Result<Blob> ours = open_coreml_blob(bytes, {});
  ASSERT_TRUE(ours.ok()) << ours.status().to_string();
  EXPECT_TRUE(ours->for_stock_runtime);
  const Result<Blob> stock = open_flattened_directory(bytes);
  ASSERT_TRUE(stock.ok()) << stock.status().to_string();
  EXPECT_EQ(stock->kind, ours->kind);
  EXPECT_EQ(contents(stock->files), contents(ours->files));
  EXPECT_EQ(as_text(stock->debug_map.span()), as_text(ours->debug_map.span()));
  ASSERT_EQ(stock->functions.size(), ours->functions.size());
  for (size_t i = 0; i < ours->functions.size(); ++i) {
    const auto names = [](const std::vector<TensorSpec>& tensors) {
      std::vector<std::string> list;
      for (const TensorSpec& tensor : tensors) list.push_back(tensor.name);
      return list;
    };
    EXPECT_EQ(names(stock->functions[i].inputs), names(ours->functions[i].inputs));
    EXPECT_EQ(names(stock->functions[i].outputs), names(ours->functions[i].outputs));
  }
}

class BothGoldenTest : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(, BothGoldenTest,
                         testing::Values("v1_1_both.cmlb", "v1_1_both_python.cmlb"),
                         [](const auto& info) {
                           return std::string(info.param).find("python") == std::string::npos
                                      ? "Cxx"
                                      : "Python";
                         });

TEST_P(BothGoldenTest, EachRuntimeReadsTheSame) {
  const Bytes bytes = golden(GetParam());
  OpenOptions options;
  options.verify_checksums = true;
  const Result<DelegateCall> call = open_delegate_call(bytes, options);
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->blob.format, Format::kCoreMLBlob);
  EXPECT_EQ(contents(call->blob.files), golden_files());
  EXPECT_EQ(call->blob.functions.size(), 2u);
  expect_same_for_the_stock_runtime(bytes);
}

TEST_P(BothGoldenTest, AStockReferenceLeadsToIt) {
  OpenOptions options;
  options.named_data = [](const std::string& key) -> Result<Bytes> {
    if (key != kBothBlobKey) return not_found("no such key", key);
    return golden(GetParam());
  };
  const Bytes reference = owning_bytes(std::string(R"(CMJR{"version": 1, "key": ")") +
                                       kBothBlobKey + R"(", "functionName": "prefill"})");
  const Result<DelegateCall> call = open_delegate_call(reference, options);
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->function_name, "prefill");
  EXPECT_EQ(call->blob.format, Format::kCoreMLBlob);
  // With the types that the stock form does not have.
  EXPECT_EQ((*call->blob.function("prefill"))->inputs[0].dtype, DataType::kInt64);
}

TEST_P(BothGoldenTest, ABlobAtAnOddAddressIsComparedToo) {
  const Bytes moved = owning_bytes("x" + std::string(as_text(golden(GetParam()).span())));
  const Result<Blob> blob = open_coreml_blob(moved.subspan(1, moved.size() - 1), {});
  EXPECT_TRUE(blob.ok()) << blob.status().to_string();
}

TEST(GoldenTest, V1IsForThisRuntimeAlone) {
  const Result<Blob> blob = open_coreml_blob(golden("v1_inline.cmlb"), {});
  ASSERT_TRUE(blob.ok());
  EXPECT_FALSE(blob->for_stock_runtime);
}

TEST(GoldenTest, V1NamedData) {
  OpenOptions options;
  options.named_data = corrupt_case_named_data();
  options.verify_checksums = true;
  const Result<DelegateCall> call = open_delegate_call(golden("v1_named_data.cmlb"), options);
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  expect_golden_content(call->blob);
  for (const FileRecord& record : call->blob.file_records) {
    EXPECT_EQ(record.named_data_key, record.path == kGoldenWeightPath ? kGoldenWeightKey : "");
  }
}

TEST(GoldenTest, V1NamedDataWithoutNamedDataIsNotFound) {
  const Status status = open_delegate_call(golden("v1_named_data.cmlb"), {}).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.to_string(), HasSubstr(kGoldenWeightKey));
  EXPECT_THAT(status.to_string(), HasSubstr(kGoldenWeightPath));
}

TEST(GoldenTest, V1NamedDataWithOtherContentIsDamaged) {
  OpenOptions options;
  options.named_data = [](const std::string&) -> Result<Bytes> {
    return owning_bytes(std::string(300, 'x'));
  };
  EXPECT_TRUE(open_delegate_call(golden("v1_named_data.cmlb"), options).ok());
  options.verify_checksums = true;
  const Status status = open_delegate_call(golden("v1_named_data.cmlb"), options).status();
  EXPECT_EQ(status.code(), StatusCode::kCorruptData);
  EXPECT_EQ(status.artifact(), kGoldenWeightPath);
}

TEST(GoldenTest, V1Reference) {
  OpenOptions options;
  const Bytes whole = golden("v1_inline.cmlb");
  std::string asked;
  options.named_data = [&](const std::string& key) -> Result<Bytes> {
    asked = key;
    return whole;
  };
  const Result<DelegateCall> call = open_delegate_call(golden("v1_reference.cmlb"), options);
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(asked, kGoldenBlobKey);
  EXPECT_EQ(call->function_name, "main");
  expect_golden_content(call->blob);
  EXPECT_EQ(open_delegate_call(golden("v1_reference.cmlb"), {}).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(open_coreml_blob(golden("v1_reference.cmlb"), options).status().code(),
            StatusCode::kCorruptData);
}

// ExecuTorch may place a blob at any address.
TEST(GoldenTest, AnyAddressWillDo) {
  const Bytes bytes = golden("v1_inline.cmlb");
  for (size_t shift = 0; shift < 17; ++shift) {
    std::string moved(shift, 'x');
    moved += as_text(bytes.span());
    const Bytes owned = owning_bytes(moved);
    OpenOptions options;
    options.verify_checksums = true;
    const Result<Blob> blob = open_coreml_blob(owned.subspan(shift, bytes.size()), options);
    ASSERT_TRUE(blob.ok()) << shift << ": " << blob.status().to_string();
    EXPECT_EQ(contents(blob->files), golden_files());
    EXPECT_EQ(as_text(blob->debug_map.span()), "{\"operations\": {}}");
    EXPECT_EQ(
        blob->files.read(kGoldenWeightPath)->data(),
        owned.data() + shift +
            (open_coreml_blob(bytes, {})->files.read(kGoldenWeightPath)->data() - bytes.data()));
  }
}

// The debug map and the files stay alive with the blob, not with the bytes it was opened from.
TEST(GoldenTest, BlobKeepsItsBytesAlive) {
  Result<Blob> blob = io_error("none yet");
  {
    const Bytes bytes = owning_bytes("x" + std::string(as_text(golden("v1_inline.cmlb").span())));
    blob = open_coreml_blob(bytes.subspan(1, bytes.size() - 1), {});
  }
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(contents(blob->files), golden_files());
  EXPECT_EQ(as_text(blob->debug_map.span()), "{\"operations\": {}}");
}

// Any single byte that is changed is seen: by the table's checks, the identity or a checksum.
// Padding and the notes, which take no part in the identity, may change.
TEST(GoldenTest, ChangedBytesAreSeenOrHarmless) {
  const std::string original(as_text(golden("v1_inline.cmlb").span()));
  OpenOptions options;
  options.verify_checksums = true;
  size_t refused = 0;
  for (size_t i = 0; i < original.size(); ++i) {
    std::string changed = original;
    changed[i] = static_cast<char>(changed[i] ^ 0x55);
    const Result<DelegateCall> call = open_delegate_call(owning_bytes(changed), options);
    if (!call.ok()) {
      ++refused;
      continue;
    }
    EXPECT_EQ(contents(call->blob.files), golden_files()) << "byte " << i;
    EXPECT_EQ(call->blob.functions.size(), 2u);
    EXPECT_EQ(to_hex(call->blob.content_id), kGoldenId);
    for (size_t f = 0; f < 2; ++f) {
      EXPECT_EQ(call->blob.functions[f].inputs, golden_functions()[f].inputs) << "byte " << i;
      EXPECT_EQ(call->blob.functions[f].outputs, golden_functions()[f].outputs) << "byte " << i;
      EXPECT_EQ(call->blob.functions[f].states, golden_functions()[f].states) << "byte " << i;
    }
  }
  EXPECT_GT(refused, original.size() / 2);
}

TEST(GoldenTest, EveryPrefixIsRefused) {
  const Bytes bytes = golden("v1_inline.cmlb");
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(open_delegate_call(bytes.subspan(0, length), {}).ok()) << length;
  }
}

// 1 GiB of weights that any access would end the process for: opening touches none, and so costs
// the same for any size.
TEST(BlobTest, OpeningTouchesNoByteOfThePayload) {
  constexpr uint64_t kWeights = uint64_t{1} << 30;
  RawBlob raw = raw_golden();
  raw.alignment = 65536;
  raw.files = {{kGoldenWeightPath, kWeights, std::vector<uint8_t>(32), 0, {}}};
  raw.functions[1].states.clear();
  raw.payload.clear();
  raw.payload_size = kWeights;
  const std::string start = raw.encode();
  ASSERT_EQ(start.size(), 65536u);
  const size_t size = start.size() + kWeights;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memcpy(memory, start.data(), start.size());
  ASSERT_EQ(::mprotect(static_cast<char*>(memory) + start.size(), kWeights, PROT_NONE), 0);
  const Bytes bytes(ByteSpan(static_cast<const std::byte*>(memory), size));
  const Result<DelegateCall> call = open_delegate_call(bytes, {});
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->blob.files.metadata(kGoldenWeightPath)->size, kWeights);
  EXPECT_EQ(call->blob.files.read(kGoldenWeightPath)->data(), bytes.data() + start.size());
  EXPECT_EQ(::munmap(memory, size), 0);
}

TEST(BlobTest, FunctionByName) {
  const Result<Blob> blob = open_coreml_blob(golden("v1_inline.cmlb"), {});
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ((*blob->function("prefill"))->method, "prefill_method");
  const Status status = blob->function("none").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "there is no such function; the functions are 'main', 'prefill'");
  EXPECT_EQ(status.artifact(), "function none");
}

// The thread rule; meaningful under --config=tsan.
TEST(BlobTest, ManyThreadsMayRead) {
  const Result<Blob> blob = open_coreml_blob(golden("v1_inline.cmlb"), {});
  ASSERT_TRUE(blob.ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&blob] {
      for (int round = 0; round < 20; ++round) {
        EXPECT_EQ(to_hex(*verify_content(*blob)), kGoldenId);
        EXPECT_TRUE(blob->function("main").ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// What the stock exporter writes: files made by the extension module of the executorch wheel.

std::map<std::string, std::string> stock_files() {
  std::map<std::string, std::string> files = golden_files();
  files.erase("Data/com.apple.CoreML/weights/empty.bin");
  files.erase("Data/executorch/cache.bin");
  return files;
}

std::vector<std::string> names(const std::vector<TensorSpec>& tensors) {
  std::vector<std::string> result;
  for (const TensorSpec& tensor : tensors) {
    EXPECT_EQ(tensor.dtype, DataType::kInvalid);
    EXPECT_THAT(tensor.shape, IsEmpty());
    result.push_back(tensor.name);
  }
  return result;
}

TEST(StockGoldenTest, SingleMethod) {
  const Result<DelegateCall> call = open_delegate_call(golden("stock_single.bin"), {});
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->function_name, "");
  EXPECT_EQ(call->blob.format, Format::kFlattenedDirectory);
  EXPECT_EQ(call->blob.kind, Kind::kPackage);
  EXPECT_EQ(contents(call->blob.files), stock_files());
  EXPECT_EQ(as_text(call->blob.debug_map.span()), "{\"versionInfo\": {}}");
  ASSERT_EQ(call->blob.functions.size(), 1u);
  EXPECT_EQ(call->blob.functions[0].name, "");
  EXPECT_THAT(names(call->blob.functions[0].inputs), ElementsAre("x", "scale"));
  EXPECT_THAT(names(call->blob.functions[0].outputs), ElementsAre("y"));
  EXPECT_EQ(call->blob.content_id, Sha256Digest{}) << "nothing was hashed";
}

TEST(StockGoldenTest, IdentityIsOfTheContentNotTheRandomIdentifier) {
  const std::string original(as_text(golden("stock_single.bin").span()));
  std::string other = original;
  const size_t at = other.find("5f3c9f52");
  ASSERT_NE(at, std::string::npos);
  other[at] = '6';
  std::string damaged = original;
  const size_t spec = damaged.find("a model specification");
  ASSERT_NE(spec, std::string::npos);
  damaged[spec] = 'b';
  OpenOptions options;
  options.verify_checksums = true;
  const auto id = [&](const std::string& bytes) {
    const Result<DelegateCall> call = open_delegate_call(owning_bytes(bytes), options);
    EXPECT_TRUE(call.ok()) << call.status().to_string();
    EXPECT_EQ(call->blob.content_id, *compute_content_id(call->blob));
    return to_hex(call->blob.content_id);
  };
  EXPECT_EQ(id(other), id(original));
  EXPECT_NE(id(damaged), id(original));
}

TEST(StockGoldenTest, CompiledModel) {
  const Result<DelegateCall> call = open_delegate_call(golden("stock_compiled.bin"), {});
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->blob.kind, Kind::kCompiled);
  EXPECT_EQ(contents(call->blob.files), stock_files());
}

TEST(StockGoldenTest, ReferenceToSeveralMethods) {
  const Bytes model = golden("stock_methods.bin");
  OpenOptions options;
  options.named_data = [&](const std::string& key) -> Result<Bytes> {
    if (key == "coreml_stock_methods") return model;
    return not_found("no such key", key);
  };
  const Result<DelegateCall> call = open_delegate_call(golden("stock_reference.bin"), options);
  ASSERT_TRUE(call.ok()) << call.status().to_string();
  EXPECT_EQ(call->function_name, "prefill");
  ASSERT_EQ(call->blob.functions.size(), 2u);
  EXPECT_EQ(call->blob.functions[0].name, "forward");
  EXPECT_THAT(names((*call->blob.function("prefill"))->inputs), ElementsAre("ids", "mask"));
  EXPECT_EQ(contents(call->blob.files), stock_files());
}

}  // namespace
}  // namespace coreml_delegate::blob
