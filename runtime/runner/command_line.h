#ifndef COREML_DELEGATE_RUNTIME_RUNNER_COMMAND_LINE_H_
#define COREML_DELEGATE_RUNTIME_RUNNER_COMMAND_LINE_H_

// The command line of coreml_runner.
//
// Thread rule: pure functions.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"

namespace coreml_delegate::runner {

// An argument of the method, as given: a file, or a number for a scalar argument.
struct GivenInput {
  size_t index = 0;
  std::string value;
};

struct CommandLine {
  bool wants_help = false;

  std::string model;
  // The folder of a device kit; then the kit says what is run, and on what. Empty: none.
  std::string kit;
  std::string answer;  // Where the answer to a kit goes; empty: standard output.
  std::string data;    // A .ptd with the program's external weights; empty: none.
  std::string method = "forward";
  std::vector<GivenInput> inputs;
  // Inputs that are not given are ones, or normal reals and zero integers of this seed.
  std::optional<uint64_t> seed;
  bool maps_file = false;

  int64_t test_case = 0;          // Of a bundled program's method: whose inputs are taken.
  bool verifies_outputs = false;  // A bundled program's expected outputs are compared.

  int64_t iterations = 1;
  int64_t warm_up = 0;
  bool resets_states = false;

  std::string output_prefix;  // Empty: outputs are not written.
  bool writes_raw = false;
  std::string etdump;        // Empty: nothing is traced.
  std::string debug_buffer;  // Empty: no intermediate values.
  // Of debug_buffer: only the method's outputs.
  bool dumps_outputs_only = false;
  // For ExecuTorch's other runners, which say by a switch what they write, under names of their
  // own.
  bool dumps_outputs = false;
  bool dumps_values = false;
  bool profiles = false;
  bool prints_outputs = false;  // They always are.
  bool purges_cache = false;    // Before the run, of the option cache_dir.

  // Options of the delegate by their names (kLoadOptions); what is not there is left to the
  // program.
  std::map<std::string, std::variant<bool, int, std::string>> delegate;

  bool as_json = false;
  bool is_verbose = false;
};

// `arguments` without the program's name. Options are --name VALUE or --name=VALUE, with one dash
// or two and `-` or `_` between words. Those of ExecuTorch's executor_runner, of its example_runner
// and of the runner for the stock delegate are understood under their names. invalid_argument says
// which one is wrong.
Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments);

// What --help prints.
std::string help_text();

}  // namespace coreml_delegate::runner

#endif  // COREML_DELEGATE_RUNTIME_RUNNER_COMMAND_LINE_H_
