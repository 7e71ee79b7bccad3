// A program whose linker took from the archives what something refers to, as Xcode's does without
// -force_load: static initialisers are lost, and register_backend() is enough.

#include <executorch/backends/apple/coreml/runtime/delegate/executorch_operations.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/runtime.h>

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/include/coreml_delegate.h"

namespace {

using executorch::backends::coreml::CoreMLBackendDelegate;
using executorch::extension::from_blob;
using executorch::extension::Module;

TEST(RegistrationByHandTest, OneCallIsEnough) {
  executorch::runtime::runtime_init();
  // Else this program says nothing about one without -force_load. The engine is in it because
  // register_backend() refers to it.
  ASSERT_EQ(executorch::runtime::get_backend_class("CoreMLBackend"), nullptr);
  ASSERT_FALSE(coreml_delegate::diagnose().is_registered);
  EXPECT_EQ(CoreMLBackendDelegate::get_registered_delegate(), nullptr);

  executorch::core_ml_backend_delegate::register_backend_coreml();

  const coreml_delegate::Diagnostics found = coreml_delegate::diagnose();
  EXPECT_TRUE(found.is_registered);
  EXPECT_EQ(found.default_engine, "portable");
  EXPECT_EQ(found.engines.size(), 1u);
  EXPECT_NE(CoreMLBackendDelegate::get_registered_delegate(), nullptr);
  EXPECT_EQ(coreml_delegate::register_backend(), executorch::runtime::Error::Ok);

  Module module("tests/end_to_end/testdata/sin_float32.pte");
  std::vector<float> x = {0.5f};
  const auto outputs = module.forward(from_blob(x.data(), {1}));
  ASSERT_TRUE(outputs.ok()) << coreml_delegate::last_error();
  EXPECT_NEAR(outputs->at(0).toTensor().const_data_ptr<float>()[0], std::sin(0.5f), 1e-6f);
}

}  // namespace
