#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_H_

// Registers the delegate with ExecuTorch, says what is registered, and resets states.
//
//   if (coreml_delegate::register_backend() != executorch::runtime::Error::Ok) {
//     fprintf(stderr, "%s\n", coreml_delegate::last_error().c_str());
//   }
//
// Thread rule: every function may be called from several threads at once, but not while another
// thread registers a backend.

#include <executorch/runtime/core/error.h>

#include <string>
#include <vector>

namespace coreml_delegate {

// This library's version.
inline constexpr char kVersion[] = "0.1.0";

// Registers "CoreMLBackend" with ExecuTorch, and the platform's engine with the delegate. A program
// that links //runtime:coremldelegate in Bazel need not call it, because a static initialiser has
// done so. It is for programs that load the library by hand, or whose linker drops the initialiser,
// as Xcode's does without -force_load. It may be called again, and then does nothing. It returns
// RegistrationAlreadyRegistered if another library has registered a CoreMLBackend, and ExecuTorch's
// own error if ExecuTorch's table of backends is full.
executorch::runtime::Error register_backend();

struct EngineInfo {
  std::string name;         // "portable".
  std::string fingerprint;  // The versions of the engine and of the library that computes for it.
};

struct Diagnostics {
  std::string version;
  // Every backend that is registered with ExecuTorch.
  std::vector<std::string> registered_backends;
  // Whether the CoreMLBackend among them is this library's.
  bool is_registered = false;
  std::vector<EngineInfo> engines;
  // The engine that is used when a load names none. Empty if no engine is registered.
  std::string default_engine;

  // The same as text of several lines, for people.
  std::string to_string() const;
};

Diagnostics diagnose();

// Sets the states (Core ML's MLState, such as a decoder's cache) of the loaded methods of this name
// back to their initial values. An empty name stands for all methods. It waits for executions that
// are under way, and returns NotFound if no method of that name is loaded.
executorch::runtime::Error reset_states(const std::string& method_name = "");

// The whole message of this thread's last failure in the delegate, of which ExecuTorch returns only
// a code. Empty if nothing has failed.
std::string last_error();

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_H_
