#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COMPILE_REQUEST_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COMPILE_REQUEST_H_

// How an engine writes and reads the texts of a CompileRequest. The engine names the options that
// its compiled form and its loaded models depend on, in plan(), and gets exactly those back:
//
//   Result<CompileRequest> plan(const Engine& engine, const LoadOptions& options) {
//     return make_request(
//         engine, {.when_compiled = {"numeric_mode"}, .when_loaded = {"threads"}}, options);
//   }
//   Status compile(const Engine& engine, const CompileRequest& request) {
//     COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, read_request(engine, request));
//     return compile_for(options);
//   }
//
// Because compile() is given only what the text says, a compiled form cannot depend on anything
// that the text leaves out. The text is a JSON object of strings whose members are sorted by name:
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
  std::vector<std::string_view> when_compiled;  // The function always matters.
  std::vector<std::string_view> when_loaded;
};

// Sets the options that `text` names, such as "numeric_mode=float16 threads=2", and leaves the
// others as they are. invalid_argument for a name that is no option, and for a value that the
// option does not take. The function is not among these options.
Status parse_options(std::string_view text, LoadOptions& options);

// invalid_argument when the function's name is not UTF-8.
Result<CompileRequest> make_request(const Engine& engine, const OptionsThatMatter& matter,
                                    const LoadOptions& options);

// The options that the request's texts name; the others have their defaults. invalid_argument for
// texts that make_request() did not write; failed_precondition for texts of another engine, another
// build of it or another system.
Result<LoadOptions> read_request(const Engine& engine, const CompileRequest& request);

// Checks that a folder that was compiled for the text `compiled`, and holds the function
// `function`, is what `asked` asks for. failed_precondition says what differs; corrupt_data for a
// `compiled` that is no such text. A request without a function fits whichever function the folder
// holds.
Status check_compiled_for(std::string_view compiled, const std::string& function,
                          const CompileRequest& asked, const std::string& folder);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COMPILE_REQUEST_H_
