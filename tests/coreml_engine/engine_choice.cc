// What models_test.py calls by name: the engine of programs that are loaded from now on, and the
// last failure in full.

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/backend/options.h>

#include <string>

#include "runtime/include/coreml_delegate.h"

extern "C" uint32_t coreml_delegate_test_use_engine(const char* name) {
  executorch::runtime::BackendOptions<1> options;
  if (options.set_option("engine", name) != executorch::runtime::Error::Ok) return 1;
  return static_cast<uint32_t>(executorch::runtime::set_option("CoreMLBackend", options.view()));
}

extern "C" const char* coreml_delegate_test_last_error() {
  static thread_local std::string text;
  text = coreml_delegate::last_error();
  return text.c_str();
}
