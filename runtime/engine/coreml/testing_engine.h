#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_TESTING_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_TESTING_ENGINE_H_

// What the engine's own tests share. They run over our framework for GNUstep, which can be told to
// fail and counts its objects.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/coreml/core_ml_engine.h"
#include "runtime/engine/coreml/testing_core_ml.h"
#include "runtime/engine/cts/engine_cts.h"

namespace coreml_delegate::engine::coreml {

namespace core_ml = core_ml_gnustep;

class CoreMLEngineTestBase : public ::testing::Test {
 protected:
  CoreMLEngineTestBase() : engine_(make_core_ml_engine()) {}
  void TearDown() override {
    core_ml::reset_faults();
    core_ml::ignore_backings(false);
  }

  std::unique_ptr<Model> load(const std::string& name, LoadOptions options = {}) {
    const inmemoryfs::InMemoryFileSystem files = read_test_model(name);
    auto model = engine_->load_source({ModelKind::kPackage, &files, name}, options);
    EXPECT_TRUE(model.ok()) << model.status().to_string();
    return model.ok() ? *std::move(model) : nullptr;
  }
  static std::vector<Tensor> add_inputs() {
    return {make_tensor(DataType::kFloat32, {2, 3}, {1, 2, 3, 4, 5, 6}),
            make_tensor(DataType::kFloat32, {2, 3}, {10, 20, 30, 40, 50, 60})};
  }
  static std::vector<Tensor> add_outputs() { return {make_output(DataType::kFloat32, {2, 3})}; }
  static Tensor four(double value) {
    return make_tensor(DataType::kFloat16, {4}, std::vector<double>(4, value));
  }

  std::unique_ptr<Engine> engine_;
};

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_TESTING_ENGINE_H_
