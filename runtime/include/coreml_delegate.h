#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_H_

// Registering the delegate, asking what there is, and resetting states.
//
// Thread rule: everything may be called from several threads at once, except that nothing may
// register backends meanwhile.

#include <executorch/runtime/core/error.h>

#include <string>
#include <vector>

namespace coreml_delegate {

// This library's version.
inline constexpr char kVersion[] = "0.1.0";

// Registers "CoreMLBackend" with ExecuTorch, and the platform's engine with the delegate. A program
// that links //runtime:coremldelegate in Bazel need not call it: a static initialiser has done so.
// It is for programs that load the library by hand or whose linker drops that initialiser, as Xcode
// does without -force_load; calling it again is fine. RegistrationAlreadyRegistered when another
// library's CoreMLBackend is there; what ExecuTorch says when its table is full.
executorch::runtime::Error register_backend();

struct EngineInfo {
  std::string name;         // "portable".
  std::string fingerprint;  // Its version, and that of what it computes with.
};

struct Diagnostics {
  std::string version;
  // Every backend ExecuTorch knows.
  std::vector<std::string> registered_backends;
  // Whether the CoreMLBackend among them is this library's.
  bool is_registered = false;
  std::vector<EngineInfo> engines;
  // The engine of a load that names none; empty when there is none.
  std::string default_engine;

  // Several lines for people.
  std::string to_string() const;
};

Diagnostics diagnose();

// Puts the states (Core ML's MLState: a decoder's cache) of the loaded methods of this name, or of
// all methods when it is empty, back to their initial values; waits for executions under way.
// NotFound when no method of that name is loaded.
executorch::runtime::Error reset_states(const std::string& method_name = "");

// What the delegate last failed with on this thread, in full: ExecuTorch itself hands on a code
// only. Empty when nothing failed.
std::string last_error();

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_DELEGATE_H_
