#ifndef COREML_DELEGATE_RUNTIME_ENGINE_CTS_ENGINE_CTS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_CTS_ENGINE_CTS_H_

// The conformance suite: what every engine must do, written once against engine.h. An engine's test
// instantiates the two suites (link //runtime/engine/cts):
//
//   EngineUnderTest portable() { return {.name = "portable", .engine = make_portable_engine()}; }
//   INSTANTIATE_TEST_SUITE_P(Portable, EngineTest, ::testing::Values(&portable));
//   INSTANTIATE_TEST_SUITE_P(Portable, PackageEngineTest, ::testing::Values(&portable));
//
// EngineTest needs only the operations that the fake engine has too; PackageEngineTest what takes a
// real ML Program. The models are in testdata/, made by make_testdata.py, which says what each
// computes.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor_type.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

struct EngineUnderTest {
  std::string name;
  std::unique_ptr<Engine> engine;
  // The code of a failure to compile an operation that the engine lacks. Core ML has one code for all that its compiler says.
  StatusCode unsupported_operation = StatusCode::kUnsupported;
  // Whether executions report the time of each operation. Core ML has estimates only, which are no events.
  bool times_operations = true;
};
using EngineFactory = EngineUnderTest (*)();

// The files of testdata/NAME.mlpackage in memory.
inmemoryfs::InMemoryFileSystem read_test_model(const std::string& name);

// A folder that goes away with it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A tensor with its own memory, of exactly `shape` unless more is asked for.
struct Tensor {
  DataType dtype = DataType::kInvalid;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // Empty: contiguous.
  std::vector<std::byte> bytes;

  // Of the layout that `strides` says.
  std::vector<int64_t> element_strides() const;
  TensorView mutable_view() { return {dtype, shape, strides, bytes.data(), bytes.size()}; }

  // The first elements as numbers, as many as the shape says; float16 as its value.
  std::vector<double> numbers() const;
};

// Elements of `dtype` with these values.
Tensor make_tensor(DataType dtype, std::vector<int64_t> shape, const std::vector<double>& values);
// For an output: `shape` elements, every byte 0xA5, and room for `capacity` bytes if that is more.
Tensor make_output(DataType dtype, std::vector<int64_t> shape, size_t capacity = 0);
// Whether no byte was written since make_output().
bool is_untouched(const Tensor& tensor);

// The bytes a state takes, of these values.
std::vector<std::byte> make_bytes(DataType dtype, const std::vector<double>& values);

Status execute(Model& model, const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs,
               const ExecuteOptions& options = {});

class EngineTestBase : public ::testing::TestWithParam<EngineFactory> {
 protected:
  EngineTestBase() : under_test_(GetParam()()) {}

  Engine& engine() { return *under_test_.engine; }
  const EngineUnderTest& under_test() const { return under_test_; }
  // Loads testdata/NAME.mlpackage; fails the test when that does not work.
  std::unique_ptr<Model> load(const std::string& name, LoadOptions options = {});
  std::unique_ptr<Model> load_from(const inmemoryfs::InMemoryFileSystem& files,
                                   const std::string& name, LoadOptions options = {});
  std::vector<double> read_state(const State& state, const Model& model, const std::string& name);

 private:
  EngineUnderTest under_test_;
};

class EngineTest : public EngineTestBase {};
class PackageEngineTest : public EngineTestBase {};

// The failure has this code and says `text` somewhere.
::testing::AssertionResult fails_with(const Status& status, StatusCode code,
                                      const std::string& text);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_CTS_ENGINE_CTS_H_
