// The wheel's runtime compiles, links and runs with the defines and include folders of its
// cc_library.

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace {

using executorch::runtime::ArrayRef;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::Span;

class Backend final : public executorch::runtime::BackendInterface {
 public:
  bool is_available() const override { return true; }
  Result<DelegateHandle*> init(BackendInitContext&, FreeableBuffer*,
                               ArrayRef<CompileSpec>) const override {
    return Error::NotSupported;
  }
  Error execute(BackendExecutionContext&, DelegateHandle*, Span<EValue*>) const override {
    return Error::NotSupported;
  }
};

TEST(ExecuTorchTest, RegistersABackendInTheWheelsRuntime) {
  executorch::runtime::runtime_init();
  Backend backend;
  ASSERT_EQ(executorch::runtime::register_backend({"SmokeBackend", &backend}), Error::Ok);
  EXPECT_EQ(executorch::runtime::get_backend_class("SmokeBackend"), &backend);
}

TEST(ExecuTorchTest, ModuleReportsAMissingFile) {
  executorch::extension::Module module("no/such/file.pte");
  EXPECT_EQ(module.load(), Error::AccessFailed);
}

TEST(ExecuTorchTest, EventTracerIsBuiltIn) {
  executorch::etdump::ETDumpGen dump;
  dump.create_event_block("smoke");
  executorch::etdump::ETDumpResult result = dump.get_etdump_data();
  EXPECT_GT(result.size, 0u);
  free(result.buf);  // The caller owns it.
}

}  // namespace
