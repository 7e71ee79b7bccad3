#ifndef COREML_DELEGATE_RUNTIME_RUNNER_KIT_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_KIT_H_

// Device kits: what `coreml kit` made of a program, run on this machine, with the answer as one
// JSON value that `coreml verify --kit` compares (docs/verify.md has the format of both).
//
// Thread rule: as runner.h.

#include <string>

#include "base/file.h"
#include "base/status.h"
#include "runtime/runner/command_line.h"

namespace coreml_delegate::runner {

// Executes the kit's program once on its inputs, by the options of the delegate in `line`, and then
// every function that computes values within its delegates. A failure of the program is a failure;
// one of such a function is written into the answer in place of its values. Gives what goes to
// standard output: the answer, or where the command line names a file, a sentence.
//
// corrupt_data for a folder that is no kit, or not whole; version_too_new for a kit of a later
// version.
Result<std::string> answer_kit(const CommandLine& line, FileSystem& files);

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_KIT_H_
