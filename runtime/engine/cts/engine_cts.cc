#include "runtime/engine/cts/engine_cts.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "base/half.h"
#include "base/strides.h"

namespace coreml_delegate::engine {

// A program may run one suite only.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineTest);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PackageEngineTest);

namespace {

constexpr char kTestData[] = "runtime/engine/cts/testdata/";
constexpr std::byte kUntouched{0xA5};

size_t element_count(const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
  return count;
}

template <typename T>
void append(std::vector<std::byte>* bytes, T value) {
  const auto* const begin = reinterpret_cast<const std::byte*>(&value);
  bytes->insert(bytes->end(), begin, begin + sizeof(T));
}
template <typename T>
double load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return static_cast<double>(value);
}

double load_number(DataType dtype, const std::byte* bytes) {
  switch (dtype) {
    case DataType::kBool:
    case DataType::kUInt8:
      return load<uint8_t>(bytes);
    case DataType::kInt8:
      return load<int8_t>(bytes);
    case DataType::kInt16:
      return load<int16_t>(bytes);
    case DataType::kUInt16:
      return load<uint16_t>(bytes);
    case DataType::kInt32:
      return load<int32_t>(bytes);
    case DataType::kInt64:
      return load<int64_t>(bytes);
    case DataType::kFloat16:
      return half_to_float(static_cast<uint16_t>(load<uint16_t>(bytes)));
    case DataType::kFloat32:
      return load<float>(bytes);
    case DataType::kFloat64:
      return load<double>(bytes);
    case DataType::kInvalid:
      break;
  }
  return 0;
}

// Where the elements lie, in row-major order.
std::vector<size_t> element_offsets(const Tensor& tensor) {
  const std::vector<int64_t> strides = tensor.element_strides();
  std::vector<size_t> offsets;
  const size_t count = element_count(tensor.shape);
  std::vector<int64_t> index(tensor.shape.size(), 0);
  for (size_t n = 0; n < count; ++n) {
    int64_t offset = 0;
    for (size_t i = 0; i < index.size(); ++i) offset += index[i] * strides[i];
    offsets.push_back(static_cast<size_t>(offset));
    for (size_t i = index.size(); i-- > 0;) {
      if (++index[i] < tensor.shape[i]) break;
      index[i] = 0;
    }
  }
  return offsets;
}

}  // namespace

inmemoryfs::InMemoryFileSystem read_test_model(const std::string& name) {
  namespace fs = std::filesystem;
  fs::path root = std::string(kTestData) + name + ".mlpackage";
  if (!fs::exists(root)) {
    const char* const sources = std::getenv("TEST_SRCDIR");
    const char* const workspace = std::getenv("TEST_WORKSPACE");
    if (sources != nullptr && workspace != nullptr) root = fs::path(sources) / workspace / root;
  }
  inmemoryfs::InMemoryFileSystem files;
  EXPECT_TRUE(fs::exists(root)) << root;
  if (!fs::exists(root)) return files;
  // Read by hand: Bazel's runfiles are symbolic links, which inmemoryfs refuses.
  for (const fs::directory_entry& entry :
       fs::recursive_directory_iterator(root, fs::directory_options::follow_directory_symlink)) {
    if (!fs::is_regular_file(entry.path())) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    auto content = std::make_shared<const std::string>(std::istreambuf_iterator<char>(stream),
                                                       std::istreambuf_iterator<char>());
    const Status added = files.add_file(entry.path().lexically_relative(root).generic_string(),
                                        Bytes(as_bytes(*content), content));
    EXPECT_TRUE(added.ok()) << added.to_string();
  }
  return files;
}

TemporaryFolder::TemporaryFolder() {
  Result<std::string> path =
      real_file_system().make_unique_directory(temporary_directory(), "engine_cts");
  EXPECT_TRUE(path.ok()) << path.status().to_string();
  if (path.ok()) path_ = *path;
}

TemporaryFolder::~TemporaryFolder() {
  if (path_.empty()) return;
  const Status removed = real_file_system().remove_tree(path_);
  EXPECT_TRUE(removed.ok()) << removed.to_string();
}

std::vector<int64_t> Tensor::element_strides() const {
  if (!strides.empty()) return strides;
  return contiguous_strides(shape);
}

std::vector<double> Tensor::numbers() const {
  std::vector<double> result;
  for (const size_t offset : element_offsets(*this)) {
    result.push_back(load_number(dtype, bytes.data() + offset * data_type_size(dtype)));
  }
  return result;
}

std::vector<std::byte> make_bytes(DataType dtype, const std::vector<double>& values) {
  std::vector<std::byte> bytes;
  for (const double value : values) {
    switch (dtype) {
      case DataType::kBool:
      case DataType::kUInt8:
        append(&bytes, static_cast<uint8_t>(value));
        break;
      case DataType::kInt8:
        append(&bytes, static_cast<int8_t>(value));
        break;
      case DataType::kInt16:
        append(&bytes, static_cast<int16_t>(value));
        break;
      case DataType::kUInt16:
        append(&bytes, static_cast<uint16_t>(value));
        break;
      case DataType::kInt32:
        append(&bytes, static_cast<int32_t>(value));
        break;
      case DataType::kInt64:
        append(&bytes, static_cast<int64_t>(value));
        break;
      case DataType::kFloat16:
        append(&bytes, float_to_half(static_cast<float>(value)));
        break;
      case DataType::kFloat32:
        append(&bytes, static_cast<float>(value));
        break;
      case DataType::kFloat64:
        append(&bytes, value);
        break;
      case DataType::kInvalid:
        break;
    }
  }
  return bytes;
}

Tensor make_tensor(DataType dtype, std::vector<int64_t> shape, const std::vector<double>& values) {
  EXPECT_EQ(element_count(shape), values.size());
  return {dtype, std::move(shape), {}, make_bytes(dtype, values)};
}

Tensor make_output(DataType dtype, std::vector<int64_t> shape, size_t capacity) {
  const size_t size = std::max(capacity, element_count(shape) * data_type_size(dtype));
  return {dtype, std::move(shape), {}, std::vector<std::byte>(size, kUntouched)};
}

bool is_untouched(const Tensor& tensor) {
  return std::all_of(tensor.bytes.begin(), tensor.bytes.end(),
                     [](std::byte byte) { return byte == kUntouched; });
}

Status execute(Model& model, const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs,
               const ExecuteOptions& options) {
  std::vector<std::vector<int64_t>> strides;
  for (const Tensor& input : inputs) strides.push_back(input.element_strides());
  std::vector<ConstTensorView> input_views;
  for (size_t i = 0; i < inputs.size(); ++i) {
    input_views.push_back({inputs[i].dtype, inputs[i].shape, strides[i], inputs[i].bytes.data()});
  }
  std::vector<TensorView> output_views;
  for (Tensor& output : outputs) output_views.push_back(output.mutable_view());
  return model.execute(input_views, output_views, options);
}

std::unique_ptr<Model> EngineTestBase::load(const std::string& name, LoadOptions options) {
  return load_from(read_test_model(name), name, std::move(options));
}

std::unique_ptr<Model> EngineTestBase::load_from(const inmemoryfs::InMemoryFileSystem& files,
                                                 const std::string& name, LoadOptions options) {
  Result<std::unique_ptr<Model>> model =
      engine().load_source({ModelKind::kPackage, &files, name}, options);
  EXPECT_TRUE(model.ok()) << model.status().to_string();
  return model.ok() ? *std::move(model) : nullptr;
}

std::vector<double> EngineTestBase::read_state(const State& state, const Model& model,
                                               const std::string& name) {
  for (const TensorSpec& spec : model.description().states) {
    if (spec.name != name) continue;
    Tensor tensor{spec.dtype, {}, {}, {}};
    for (const Dimension& dimension : spec.shape) tensor.shape.push_back(dimension.min);
    tensor.bytes.resize(element_count(tensor.shape) * data_type_size(spec.dtype));
    const Status read = state.read(name, tensor.bytes);
    EXPECT_TRUE(read.ok()) << read.to_string();
    return tensor.numbers();
  }
  ADD_FAILURE() << "no state " << name;
  return {};
}

::testing::AssertionResult fails_with(const Status& status, StatusCode code,
                                      const std::string& text) {
  if (status.code() == code && status.to_string().find(text) != std::string::npos) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "expected " << status_code_name(code) << " with \""
                                       << text << "\", got " << status.to_string();
}

}  // namespace coreml_delegate::engine
