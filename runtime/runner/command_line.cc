#include "runtime/runner/command_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "runtime/delegate/option_table.h"
#include "runtime/delegate/options.h"

namespace coreml_delegate::runner {
namespace {

constexpr char kHelp[] =
    R"(coreml_runner: executes a method of an ExecuTorch program with Core ML delegates.

  coreml_runner --model model.pte
  coreml_runner --model model.pte --input image.npy --output out/y
  coreml_runner --model model.pte --input 1=mask.bin --seed 7 --iterations 100 --warm-up 5
  coreml_runner --model model.pte --etdump model.etdump --debug-buffer values.bin
  coreml_runner --model model.pte --cache-dir /data/cache --numeric-mode float16
  coreml_runner --kit folder --answer answer.json

What runs
  --model FILE             the .pte or .bpte to execute; the name alone, without --model, does too
  --testset-idx N          the number of the test case in a .bpte whose inputs are used (default: 0)
  --output-verification    compare the outputs with those that the .bpte has for the test case
  --data FILE              a .ptd, which has weights that lie outside the program
  --method NAME            the method to execute (default: forward)
  --input [INDEX=]VALUE    an input: a .npy file, another file that is read as raw little-endian
                           elements, or a number where the method takes a number. Without INDEX it
                           is the input after the one that is given before it
  --seed N                 fill the inputs that are not given with normally distributed reals, and
                           with zeros if they hold integers; without a seed they are filled with
                           ones
  --mmap                   map the file into memory instead of reading it
  --kit FOLDER             execute what `coreml kit` wrote, to compare this machine with the one
                           that wrote it. It goes with --answer, --verbose and the options of the
                           delegate, and with no other option

How often
  --iterations N           the number of executions that are timed (default: 1)
  --warm-up N              the number of executions before them that are not timed (default: 0)
  --reset-states           set the states back to their initial values before each execution

What is written
  --output PREFIX          write the outputs of the last execution to PREFIX0.npy, PREFIX1.npy, ...
  --output-format FORMAT   the format of these files: npy (default), or raw (PREFIX0.bin, ...)
  --etdump FILE            write ExecuTorch's trace of events, which its Inspector reads
  --debug-buffer FILE      write the values of operations within delegates; it needs --etdump too
  --dump-intermediate-outputs, --dump-outputs
                           write both files, as debug_output.bin and etdump.etdp if they are not
                           named. With --dump-outputs the values are those of the method's outputs
                           only
  --purge-models-cache     remove the compiled models in --cache-dir before the model is loaded
  --json                   print the result as one JSON value
  --answer FILE            write a kit's answer, which `coreml verify --kit` reads, to this file
                           (default: standard output)

The delegate
)";
constexpr char kHelpEnd[] = R"(
  --verbose                write the log of ExecuTorch and of the delegate to standard error
  --help                   print this text

Results go to standard output, and errors to standard error. The exit code is 0, or 1 if something
failed, or 2 if the command line is wrong. Off Apple platforms everything runs on the CPU, which
does not show that Core ML gives the same results.
)";

using Words = std::vector<std::string>;

Status refuse(const std::string& why, const std::string& option) {
  return invalid_argument(why + "; --help lists the options", option);
}

Result<int64_t> parse_integer(const std::string& text, const std::string& option, int64_t low,
                              int64_t high) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || value < low || value > high) {
    return refuse("the option takes a whole number from " + std::to_string(low) + " to " +
                      std::to_string(high) + ", not \"" + text + "\"",
                  option);
  }
  return value;
}

Status set_integer(const std::string& text, const std::string& option, int64_t low, int64_t high,
                   int64_t& target) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(target, parse_integer(text, option, low, high));
  return {};
}

// An option of the delegate. What it may be is the delegate's to check, but for a number being one.
Status set_delegate_option(const OptionRow<DelegateOptions>& row, const std::string& flag,
                           const std::string& value, CommandLine& line) {
  std::variant<bool, int, std::string>& target = line.delegate[std::string(row.name)];
  target = value;
  if (!option_table::is_number(row)) return {};
  COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t number, parse_integer(value, flag, 0, row.most));
  target = static_cast<int>(number);
  return {};
}

Status add_input(const std::string& text, CommandLine& line) {
  GivenInput input;
  const size_t equals = text.find('=');
  const bool has_index =
      equals != std::string::npos && equals > 0 &&
      std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(equals),
                  [](char c) { return c >= '0' && c <= '9'; });
  if (has_index) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        const int64_t index, parse_integer(text.substr(0, equals), "--input", 0, 1'000'000));
    input.index = static_cast<size_t>(index);
    input.value = text.substr(equals + 1);
  } else {
    input.index = line.inputs.empty() ? 0 : line.inputs.back().index + 1;
    input.value = text;
  }
  if (input.value.empty()) return refuse("an input must be a file or a number", "--input " + text);
  for (const GivenInput& other : line.inputs) {
    if (other.index == input.index) {
      return refuse("input " + std::to_string(input.index) + " is given twice", "--input " + text);
    }
  }
  line.inputs.push_back(std::move(input));
  return {};
}

struct Option {
  const char* name;
  Status (*set)(const std::string& value, CommandLine& line);
};

constexpr int64_t kLarge = int64_t{1} << 40;

// Options with a value.
constexpr std::array kOptions = {
    Option{"--model",
           [](const std::string& value, CommandLine& line) -> Status {
             if (!line.model.empty())
               return refuse("only one model can be run, and this is a second one", value);
             line.model = value;
             return {};
           }},
    Option{"--kit",
           [](const std::string& value, CommandLine& line) -> Status {
             line.kit = value;
             return {};
           }},
    Option{"--answer",
           [](const std::string& value, CommandLine& line) -> Status {
             line.answer = value;
             return {};
           }},
    Option{"--data",
           [](const std::string& value, CommandLine& line) -> Status {
             line.data = value;
             return {};
           }},
    Option{"--method",
           [](const std::string& value, CommandLine& line) -> Status {
             line.method = value;
             return {};
           }},
    Option{"--input", add_input},
    Option{"--seed",
           [](const std::string& value, CommandLine& line) -> Status {
             COREML_DELEGATE_ASSIGN_OR_RETURN(const int64_t seed,
                                              parse_integer(value, "--seed", 0, kLarge));
             line.seed = static_cast<uint64_t>(seed);
             return {};
           }},
    Option{"--testset-idx",
           [](const std::string& value, CommandLine& line) {
             return set_integer(value, "--testset-idx", 0, kLarge, line.test_case);
           }},
    // Files grow as they must.
    Option{"--debug-buffer-size",
           [](const std::string& value, CommandLine&) -> Status {
             return parse_integer(value, "--debug-buffer-size", 0, kLarge).status();
           }},
    Option{"--iterations",
           [](const std::string& value, CommandLine& line) {
             return set_integer(value, "--iterations", 1, kLarge, line.iterations);
           }},
    Option{"--warm-up",
           [](const std::string& value, CommandLine& line) {
             return set_integer(value, "--warm-up", 0, kLarge, line.warm_up);
           }},
    Option{"--output",
           [](const std::string& value, CommandLine& line) -> Status {
             line.output_prefix = value;
             return {};
           }},
    Option{"--output-format",
           [](const std::string& value, CommandLine& line) -> Status {
             if (value != "npy" && value != "raw") {
               return refuse("the format must be npy or raw, not \"" + value + "\"",
                             "--output-format");
             }
             line.writes_raw = value == "raw";
             return {};
           }},
    Option{"--etdump",
           [](const std::string& value, CommandLine& line) -> Status {
             line.etdump = value;
             return {};
           }},
    Option{"--debug-buffer",
           [](const std::string& value, CommandLine& line) -> Status {
             line.debug_buffer = value;
             return {};
           }},
};

struct Flag {
  const char* name;
  bool CommandLine::*target;
};

constexpr std::array kFlags = {
    Flag{"--help", &CommandLine::wants_help},
    Flag{"--mmap", &CommandLine::maps_file},
    Flag{"--reset-states", &CommandLine::resets_states},
    Flag{"--output-verification", &CommandLine::verifies_outputs},
    Flag{"--dump-intermediate-outputs", &CommandLine::dumps_values},
    Flag{"--dump-outputs", &CommandLine::dumps_outputs},
    Flag{"--profile-model", &CommandLine::profiles},
    Flag{"--print-output", &CommandLine::prints_outputs},
    Flag{"--purge-models-cache", &CommandLine::purges_cache},
    Flag{"--json", &CommandLine::as_json},
    Flag{"--verbose", &CommandLine::is_verbose},
};

// The names of ExecuTorch's executor_runner and example_runner, and of the stock delegate's runner.
constexpr std::array<std::pair<std::string_view, const char*>, 12> kAliases = {{
    {"-h", "--help"},
    {"--model-path", "--model"},
    {"--bundled-program-path", "--model"},
    {"--debug-output-path", "--debug-buffer"},
    {"--dump-model-outputs", "--dump-outputs"},
    {"--data-path", "--data"},
    {"--method-name", "--method"},
    {"--num-executions", "--iterations"},
    {"--etdump-path", "--etdump"},
    {"--debug-buffer-path", "--debug-buffer"},
    {"--cpu-threads", "--threads"},
    {"--compute-units", "--compute-unit"},
}};

// Where the switches of ExecuTorch's runners ask for files and name none.
void name_dumps(CommandLine& line) {
  const bool dumps = line.dumps_values || line.dumps_outputs;
  if (dumps && line.debug_buffer.empty()) line.debug_buffer = "debug_output.bin";
  if ((dumps || line.profiles) && line.etdump.empty()) line.etdump = "etdump.etdp";
  line.dumps_outputs_only = line.dumps_outputs && !line.dumps_values;
}

// A kit says what is run, on what and how often.
Status check_kit_alone(const CommandLine& line) {
  const CommandLine plain;
  const bool is_alone = line.model.empty() && line.data.empty() && line.method == plain.method &&
                        line.inputs.empty() && !line.seed && !line.maps_file &&
                        line.iterations == plain.iterations && line.warm_up == plain.warm_up &&
                        !line.resets_states && line.output_prefix.empty() && !line.writes_raw &&
                        line.etdump.empty() && line.debug_buffer.empty() && !line.as_json &&
                        line.test_case == 0 && !line.verifies_outputs && !line.dumps_outputs &&
                        !line.dumps_values && !line.profiles && !line.purges_cache;
  if (is_alone) return {};
  return refuse("with --kit only --answer, --verbose and the options of the delegate can be used",
                "--kit");
}

std::string canonical_name(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  // gflags takes one dash too.
  if (name.size() > 2 && name[1] != '-') name.insert(0, "-");
  for (const auto& [alias, meant] : kAliases) {
    if (name == alias) return meant;
  }
  return name;
}

}  // namespace

Result<CommandLine> parse_command_line(const Words& arguments) {
  CommandLine line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word.empty() || word[0] != '-') {
      if (!line.model.empty())
        return refuse("only one model can be run, and this is a second one", word);
      line.model = word;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = canonical_name(word.substr(0, equals));
    const auto flag = std::find_if(kFlags.begin(), kFlags.end(),
                                   [&](const Flag& known) { return name == known.name; });
    if (flag != kFlags.end()) {
      const std::string value = equals == std::string::npos ? "true" : word.substr(equals + 1);
      if (value != "true" && value != "1" && value != "false" && value != "0") {
        return refuse("the option takes no value, or the value true or false", name);
      }
      line.*(flag->target) = value == "true" || value == "1";
      continue;
    }
    const auto row = std::find_if(kLoadOptions.begin(), kLoadOptions.end(), [&](const auto& known) {
      return name == option_table::flag_of(known);
    });
    if (row != kLoadOptions.end() && option_table::is_switch(*row)) {
      if (equals != std::string::npos) return refuse("the option takes no value", name);
      line.delegate[std::string(row->name)] = true;
      continue;
    }
    const auto option = std::find_if(kOptions.begin(), kOptions.end(),
                                     [&](const Option& known) { return name == known.name; });
    if (option == kOptions.end() && row == kLoadOptions.end()) {
      return refuse("there is no such option", word);
    }
    if (equals == std::string::npos && i + 1 == arguments.size()) {
      return refuse("the option needs a value", name);
    }
    const std::string value =
        equals == std::string::npos ? arguments[++i] : word.substr(equals + 1);
    COREML_DELEGATE_RETURN_IF_ERROR(row != kLoadOptions.end()
                                        ? set_delegate_option(*row, name, value, line)
                                        : option->set(value, line));
  }
  if (line.wants_help) return line;
  if (!line.kit.empty()) {
    COREML_DELEGATE_RETURN_IF_ERROR(check_kit_alone(line));
    return line;
  }
  if (!line.answer.empty()) return refuse("only a kit has an answer: pass --kit too", "--answer");
  if (line.model.empty()) return refuse("name the program to run", "--model");
  name_dumps(line);
  if (!line.debug_buffer.empty() && line.etdump.empty()) {
    return refuse("the values can only be read together with the trace: pass --etdump too",
                  "--debug-buffer");
  }
  if (!line.debug_buffer.empty() && line.debug_buffer == line.etdump) {
    return refuse("the values and the trace are two files: use two names", "--debug-buffer");
  }
  return line;
}

std::string help_text() {
  return kHelp + option_table::help<DelegateOptions>(kLoadOptions) + kHelpEnd;
}

}  // namespace coreml_delegate::runner
