// The caller's side, with a helper that misbehaves in every way there is, and with one that works.
// After each test nothing may be left: no process, no zombie, no file, no descriptor.

#include "runtime/engine/helper/compile_helper.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "base/file.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/fake/fake_engine.h"
#include "runtime/engine/helper/helper_command.h"

namespace coreml_delegate::engine {
namespace {

using std::chrono::steady_clock;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr char kBadHelper[] = "runtime/engine/helper/testing_bad_helper";
constexpr char kFakeHelper[] = "runtime/engine/helper/testing_fake_helper";
constexpr char kProgram[] =
    "function main\n"
    "input x float32 [3]\n"
    "state s float32 [3]\n"
    "output y float32 [3] = accumulate s x\n"
    "function other\n"
    "input x float32 [1..8]\n"
    "output y float32 [1..8] = identity x\n";

int open_descriptors() {
  int open = 0;
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0) ++open;
  }
  return open;
}

class CompileHelperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    FileSystem& files = real_file_system();
    const char* configured = std::getenv("TMPDIR");
    had_temporary_ = configured == nullptr ? "" : configured;
    scratch_ = files.make_unique_directory(temporary_directory(), "compile_helper_test").value();
    temporary_ = join_path(scratch_, "tmp");
    folder_ = join_path(scratch_, "compiled");
    ASSERT_TRUE(files.make_directory(temporary_).ok());
    ASSERT_TRUE(files.make_directory(folder_).ok());
    ::setenv("TMPDIR", temporary_.c_str(), 1);
    package_ = make_fake_package(kProgram).value();
    descriptors_ = open_descriptors();
  }

  void TearDown() override {
    EXPECT_THAT(*real_file_system().list(temporary_), IsEmpty()) << "temporary files were left";
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process, or a zombie, was left";
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(open_descriptors(), descriptors_);
    if (had_temporary_.empty()) {
      ::unsetenv("TMPDIR");
    } else {
      ::setenv("TMPDIR", had_temporary_.c_str(), 1);
    }
    EXPECT_TRUE(real_file_system().remove_tree(scratch_).ok());
  }

  ModelSource source() const { return {ModelKind::kPackage, &package_, "the model"}; }

  // Compiles with a helper that misbehaves like this; the text of its failure, which has the code.
  std::string failure(const std::string& how, StatusCode code, HelperProcess helper = {}) {
    if (helper.program.empty()) helper.program = kBadHelper;
    LoadOptions options;
    options.function_name = how;
    const Status compiled = compile_in_helper(helper, engine_, source(), folder_, options);
    EXPECT_EQ(status_code_name(compiled.code()), status_code_name(code)) << compiled.to_string();
    const Status loaded = load_source_in_helper(helper, engine_, source(), options).status();
    EXPECT_EQ(status_code_name(loaded.code()), status_code_name(code)) << loaded.to_string();
    EXPECT_THAT(loaded.to_string(), HasSubstr("the model"));
    // Nothing was compiled here instead.
    EXPECT_EQ(engine_.controls().count(FakeStage::kCompile), 0);
    EXPECT_EQ(engine_.controls().count(FakeStage::kLoad), 0);
    return compiled.to_string();
  }

  // What "leave_a_process" has started.
  pid_t left_process() const {
    pid_t process = 0;
    std::ifstream(join_path(folder_, "process")) >> process;
    EXPECT_GT(process, 0);
    return process;
  }
  static void expect_ended(pid_t process) {
    // Whoever adopts it takes it away in time.
    for (int i = 0; i < 200 && ::kill(process, 0) == 0; ++i) {
      std::ifstream state("/proc/" + std::to_string(process) + "/stat");
      std::string pid, name, letter;
      if (state >> pid >> name >> letter && letter == "Z") break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      EXPECT_LT(i, 199) << "the process lives on";
    }
  }

  FakeEngine engine_;
  inmemoryfs::InMemoryFileSystem package_;
  std::string scratch_;
  std::string temporary_;  // TMPDIR meanwhile.
  std::string folder_;     // Empty, to compile into.
  std::string had_temporary_;
  int descriptors_ = 0;
};

TEST_F(CompileHelperTest, ACrashIsAStatus) {
  EXPECT_THAT(failure("segfault", StatusCode::kEngineFailure),
              HasSubstr("the compiler died of SIGSEGV on this model"));
  EXPECT_THAT(failure("abort", StatusCode::kEngineFailure), HasSubstr("SIGABRT"));
}

TEST_F(CompileHelperTest, AnAnswerBeforeACrashIsNotTrusted) {
  EXPECT_THAT(failure("answer_and_crash", StatusCode::kEngineFailure), HasSubstr("SIGSEGV"));
}

TEST_F(CompileHelperTest, BeingKilledFromOutsideIsTakenForLackOfMemory) {
  EXPECT_THAT(failure("killed", StatusCode::kResourceExhausted), HasSubstr("memory runs out"));
}

TEST_F(CompileHelperTest, AHangEndsWithTheTimeout) {
  const HelperProcess helper{.program = kBadHelper, .timeout_seconds = 1};
  const auto start = steady_clock::now();
  EXPECT_THAT(failure("hang", StatusCode::kResourceExhausted, helper),
              HasSubstr("not finished this model after 1 s"));
  EXPECT_THAT(failure("close_and_hang", StatusCode::kResourceExhausted, helper),
              HasSubstr("not finished this model after 1 s"));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(30));
  // What it sets itself, should its caller be gone.
  EXPECT_THAT(failure("alarm", StatusCode::kResourceExhausted, helper), HasSubstr("not finished"));
}

TEST_F(CompileHelperTest, CancellationStopsIt) {
  CancellationToken token;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    token.cancel();
  });
  LoadOptions options;
  options.function_name = "hang";
  options.cancellation = &token;
  const auto start = steady_clock::now();
  const Status status =
      compile_in_helper({.program = kBadHelper}, engine_, source(), folder_, options);
  canceller.join();
  EXPECT_EQ(status.code(), StatusCode::kCancelled) << status.to_string();
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(30));
}

#ifdef __linux__
TEST_F(CompileHelperTest, TheMemoryLimitIsKept) {
  const HelperProcess helper{.program = kBadHelper, .memory_limit_bytes = int64_t{256} << 20};
  EXPECT_THAT(failure("allocate", StatusCode::kResourceExhausted, helper),
              HasSubstr("no memory is left"));
}
#endif

TEST_F(CompileHelperTest, AnEndWithoutAWordIsAStatus) {
  EXPECT_THAT(failure("say_nothing", StatusCode::kEngineFailure),
              HasSubstr("ended with exit code 0 and said nothing"));
  EXPECT_THAT(failure("exit_7", StatusCode::kEngineFailure), HasSubstr("exit code 7"));
}

TEST_F(CompileHelperTest, NonsenseIsAStatus) {
  EXPECT_THAT(failure("garbage", StatusCode::kInternal), HasSubstr("cannot be understood"));
  EXPECT_THAT(failure("half_an_answer", StatusCode::kInternal), HasSubstr("cannot be understood"));
  EXPECT_THAT(failure("long_answer", StatusCode::kInternal), HasSubstr("longer than 65536 bytes"));
}

// A folder that nothing was compiled into is the engine's to refuse.
TEST_F(CompileHelperTest, ALieIsFoundWhenTheFolderIsLoaded) {
  LoadOptions options;
  options.function_name = "only_lies";
  const auto model = load_source_in_helper({.program = kBadHelper}, engine_, source(), options);
  EXPECT_FALSE(model.ok());
}

TEST_F(CompileHelperTest, ProcessesThatItStartedEndWithIt) {
  const auto start = steady_clock::now();
  LoadOptions options;
  options.function_name = "leave_a_process";
  const Status status =
      compile_in_helper({.program = kBadHelper}, engine_, source(), folder_, options);
  EXPECT_THAT(status.to_string(), HasSubstr("a process was left"));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(30));
  expect_ended(left_process());
}

TEST_F(CompileHelperTest, ItHasNoneOfTheCallersFiles) {
  // As libraries open them: without O_CLOEXEC.
  const int opened = ::open("/dev/null", O_RDONLY);
  EXPECT_THAT(failure("count_files", StatusCode::kUnsupported), HasSubstr("3 open files"));
  ::close(opened);
}

TEST_F(CompileHelperTest, WorksWhereChildrenAreIgnored) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  EXPECT_THAT(failure("say_nothing", StatusCode::kEngineFailure), HasSubstr("said nothing"));
  EXPECT_THAT(failure("count_files", StatusCode::kUnsupported), HasSubstr("open files"));
  std::signal(SIGCHLD, before);
}

TEST_F(CompileHelperTest, ProcessesThatItStartedEndWithItWhereChildrenAreIgnored) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  EXPECT_THAT(failure("leave_a_process", StatusCode::kUnsupported),
              HasSubstr("a process was left"));
  std::signal(SIGCHLD, before);
  expect_ended(left_process());
}

// A caller that died before the helper asked to be told.
TEST_F(CompileHelperTest, AHelperOfAnotherParentEndsAtOnce) {
  const helper::HelperCommand command{.engine = "fake",
                                      .request = {},
                                      .load_request = {},
                                      .package = folder_,
                                      .name = {},
                                      .output = folder_,
                                      .parent = 1};
  std::string line = kFakeHelper;
  for (const std::string& argument : helper::to_arguments(command)) line += " '" + argument + "'";
  line += " > " + join_path(scratch_, "answer");
  EXPECT_NE(std::system(line.c_str()), 0);
  EXPECT_EQ(std::filesystem::file_size(join_path(scratch_, "answer")), 0u);
}

TEST_F(CompileHelperTest, WorksWhereStandardFilesAreClosed) {
  const int input = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
  const int output = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
  ::close(STDIN_FILENO);
  ::close(STDOUT_FILENO);
  const auto model = load_source_in_helper({.program = kFakeHelper}, engine_, source(), {});
  if (input >= 0) {
    ::dup2(input, STDIN_FILENO);
    ::close(input);
  }
  ::dup2(output, STDOUT_FILENO);
  ::close(output);
  EXPECT_TRUE(model.ok()) << model.status().to_string();
}

TEST_F(CompileHelperTest, AProgramThatIsNotThereIsNotFound) {
  EXPECT_THAT(failure("x", StatusCode::kNotFound, {.program = "/nonexistent/helper"}),
              HasSubstr("build //runtime:coreml_compile_helper"));
  EXPECT_THAT(failure("x", StatusCode::kInvalidArgument, {.program = scratch_}),
              HasSubstr("could not be started"));
  const HelperProcess negative{.program = kBadHelper, .timeout_seconds = -1};
  EXPECT_THAT(failure("x", StatusCode::kInvalidArgument, negative), HasSubstr("negative"));
}

TEST_F(CompileHelperTest, AFolderForTemporaryFilesThatIsNotThereIsAnError) {
  ::setenv("TMPDIR", "/nonexistent", 1);
  EXPECT_THAT(failure("x", StatusCode::kIoError), HasSubstr("TMPDIR"));
}

class Timings : public EventSink {
 public:
  void on_timing(const TimingEvent& event) override {
    found.emplace_back(event.kind, std::string(event.name));
    EXPECT_LT(event.start_ns, event.end_ns);
  }
  std::vector<std::pair<EventKind, std::string>> found;
};

TEST_F(CompileHelperTest, CompilesAndLoads) {
  const HelperProcess helper{.program = kFakeHelper,
                             .timeout_seconds = std::numeric_limits<int32_t>::max(),
                             .memory_limit_bytes = std::numeric_limits<int64_t>::max()};
  Timings timings;
  LoadOptions options;
  options.events = &timings;
  const auto model = load_source_in_helper(helper, engine_, source(), options);
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ((*model)->description().name, "main");
  EXPECT_THAT(timings.found, Contains(Pair(EventKind::kCompile, "main")));
  EXPECT_EQ(engine_.controls().count(FakeStage::kCompile), 0);
  EXPECT_EQ(engine_.controls().count(FakeStage::kLoad), 1);

  options.function_name = "other";
  ASSERT_TRUE(compile_in_helper(helper, engine_, source(), folder_, options).ok());
  const auto other = engine_.load(folder_, options);
  ASSERT_TRUE(other.ok()) << other.status().to_string();
  EXPECT_EQ((*other)->description().name, "other");
}

TEST_F(CompileHelperTest, TheEnginesFailuresComeAcrossWhole) {
  LoadOptions options;
  options.function_name = "missing";
  const Status here = engine_.compile(source(), folder_, options);
  const Status there =
      compile_in_helper({.program = kFakeHelper}, engine_, source(), folder_, options);
  EXPECT_FALSE(here.ok());
  EXPECT_EQ(there.to_string(), here.to_string());
}

TEST_F(CompileHelperTest, AHelperOfAnotherBuildIsRefused) {
  FakeEngine newer(FakeEngineOptions{.fingerprint = "fake 2"});
  const Status status = compile_in_helper({.program = kFakeHelper}, newer, source(), folder_, {});
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.to_string(), HasSubstr("belongs to another build"));
}

TEST_F(CompileHelperTest, AnEngineThatTheHelperLacksIsNotFound) {
  FakeEngine unknown(FakeEngineOptions{.name = "unknown"});
  const Status status = compile_in_helper({.program = kFakeHelper}, unknown, source(), folder_, {});
  EXPECT_EQ(status.code(), StatusCode::kNotFound) << status.to_string();
}

TEST_F(CompileHelperTest, NamesOfFilesStayInTheFolder) {
  inmemoryfs::InMemoryFileSystem odd = make_fake_package(kProgram).value();
  ASSERT_TRUE(odd.add_file("with space/\"quoted\"\n$(x)", Bytes()).ok());
  const auto model = load_source_in_helper({.program = kFakeHelper}, engine_,
                                           {ModelKind::kPackage, &odd, "odd\n\xff"}, {});
  EXPECT_TRUE(model.ok()) << model.status().to_string();
}

TEST_F(CompileHelperTest, SeveralAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      LoadOptions options;
      options.function_name = i % 2 == 0 ? "main" : "segfault";
      const HelperProcess helper{.program = i % 2 == 0 ? kFakeHelper : kBadHelper};
      const auto model = load_source_in_helper(helper, engine_, source(), options);
      EXPECT_EQ(model.ok(), i % 2 == 0) << model.status().to_string();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace coreml_delegate::engine
