#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COMPILE_REQUEST_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COMPILE_REQUEST_H_

// How an engine writes and reads the texts of a CompileRequest. It names the options that matter,
// and everything else follows:
//
//   plan():     return make_request(*this, {.when_compiled = {"numeric_mode"},
//                                           .when_loaded = {"threads"}}, options);
//   compile():  ASSIGN_OR_RETURN(const LoadOptions options, read_request(*this, request));
//
// What compile() gets is what the text says, so a compiled form cannot depend on anything that the
// text leaves out. The text is a JSON object of strings, its members sorted by name:
//
//   {"engine":"portable","fingerprint":"...","function":"main","numeric_mode":"float32",
//    "platform":"Linux x86_64"}
//
// Thread rule: pure functions.

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

// Names of options as users spell them: "compute_units", "numeric_mode", "threads".
struct OptionsThatMatter {
  std::vector<std::string_view> when_compiled;  // The function matters always.
  std::vector<std::string_view> when_loaded;
};

// invalid_argument when the function's name is not UTF-8.
Result<CompileRequest> make_request(const Engine& engine, const OptionsThatMatter& matter,
                                    const LoadOptions& options);

// The options that the request's texts name; the others have their defaults. invalid_argument for
// texts that make_request() did not write, failed_precondition when another engine, another build
// of it or another system did.
Result<LoadOptions> read_request(const Engine& engine, const CompileRequest& request);

// Whether a folder that was compiled for the text `compiled`, and holds the function `function`, is
// what `asked` asks for. failed_precondition says what differs; corrupt_data for a `compiled` that
// is no such text. A request without a function takes whichever the folder holds.
Status check_compiled_for(std::string_view compiled, const std::string& function,
                          const CompileRequest& asked, const std::string& folder);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COMPILE_REQUEST_H_
