// For tests/engine:openvino_faults_test: an execution by a thread that is not the first. Linked with
// LeakSanitizer, which then says what is left of it.

#include <dlfcn.h>

#include <thread>
#include <vector>

#include "openvino/op/add.hpp"
#include "openvino/openvino.hpp"

// As sanitized_dlopen.cc: the plugins are to have the malloc that is watched.
extern "C" void* dlopen(const char* path, int flags) noexcept {
  using Function = void* (*)(const char*, int);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "dlopen"));
  return next(path, flags & ~RTLD_DEEPBIND);
}

int main() {
  const auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, ov::Shape{4});
  const auto sum = std::make_shared<ov::op::v1::Add>(x, x);
  const auto model = std::make_shared<ov::Model>(ov::OutputVector{sum}, ov::ParameterVector{x});
  ov::Core core;
  ov::CompiledModel compiled =
      core.compile_model(model, "CPU", ov::inference_num_threads(2), ov::num_streams(1));
  for (int i = 0; i < 4; ++i) {
    std::thread([&] {
      ov::InferRequest request = compiled.create_infer_request();
      request.infer();
    }).join();
  }
  return 0;
}
