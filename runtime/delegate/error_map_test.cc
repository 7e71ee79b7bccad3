#include "runtime/delegate/error_map.h"

#include <executorch/runtime/platform/runtime.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/executorch_log.h"

namespace coreml_delegate {
namespace {

using executorch::runtime::Error;
using ::testing::HasSubstr;
using ::testing::Not;

// The whole table, as docs/errors.md has it.
const std::map<StatusCode, Error> kTable = {
    {StatusCode::kOk, Error::Ok},
    {StatusCode::kInvalidArgument, Error::InvalidArgument},
    {StatusCode::kNotFound, Error::NotFound},
    {StatusCode::kAlreadyExists, Error::AlreadyLoaded},
    {StatusCode::kCorruptData, Error::InvalidProgram},
    {StatusCode::kUnsupported, Error::NotSupported},
    {StatusCode::kVersionTooNew, Error::DelegateInvalidCompatibility},
    {StatusCode::kFailedPrecondition, Error::InvalidState},
    {StatusCode::kResourceExhausted, Error::OutOfResources},
    {StatusCode::kIoError, Error::AccessFailed},
    {StatusCode::kCancelled, Error::InvalidState},
    {StatusCode::kEngineFailure, Error::DelegateInvalidHandle},
    {StatusCode::kInternal, Error::Internal},
};

TEST(ErrorMapTest, EveryCodeHasItsError) {
  EXPECT_EQ(kTable.size(), static_cast<size_t>(StatusCode::kInternal) + 1)
      << "a code is missing from the table";
  for (const auto& [code, error] : kTable)
    EXPECT_EQ(to_executorch_error(code), error) << status_code_name(code);
  for (const auto& [code, error] : kTable) {
    // EndOfMethod ends a loop over Method::step() as if all were well.
    EXPECT_NE(error, Error::EndOfMethod);
    EXPECT_EQ(error == Error::Ok, code == StatusCode::kOk);
  }
}

TEST(ErrorMapTest, TheDocumentationHasAnAnchorAndTheErrorOfEveryCode) {
  std::ifstream file("docs/errors.md");
  ASSERT_TRUE(file.is_open());
  std::stringstream text;
  text << file.rdbuf();
  for (const auto& [code, error] : kTable) {
    if (code == StatusCode::kOk) continue;
    const std::string name(status_code_name(code));
    EXPECT_THAT(text.str(), HasSubstr("<a id=\"" + name + "\"></a>"));
    const std::string error_name =
        std::string(to_string(error)).substr(std::string("Error::").size());
    char number[8];
    std::snprintf(number, sizeof(number), "0x%02x", static_cast<unsigned>(error));
    EXPECT_THAT(text.str(), HasSubstr("| [`" + name + "`](#" + name + ") | `" + error_name +
                                      "` | " + number + " |"));
  }
}

std::vector<std::string>& logged() {
  static std::vector<std::string> lines;
  return lines;
}

class Capture {
 public:
  Capture()
      : before_(set_log_sink([](LogLevel, const char*, int, std::string_view message) {
          logged().emplace_back(message);
        })) {
    logged().clear();
  }
  ~Capture() { set_log_sink(before_); }

 private:
  const LogSink before_;
};

TEST(ErrorMapTest, ReportLogsTheWholeChainAndRemembersItPerThread) {
  const Capture capture;
  const Status status =
      corrupt_data("checksum differs", "weights.bin").annotate("cannot load", "forward");
  EXPECT_EQ(report(status), Error::InvalidProgram);
  ASSERT_EQ(logged().size(), 1u);
  for (const char* part : {"CoreMLBackend", "checksum differs", "weights.bin", "cannot load",
                           "forward", "docs/errors.md#corrupt_data"}) {
    EXPECT_THAT(logged()[0], HasSubstr(part));
    if (std::string_view(part) != "CoreMLBackend")
      EXPECT_THAT(last_error_message(), HasSubstr(part));
  }
  std::thread([] { EXPECT_EQ(last_error_message(), ""); }).join();
  EXPECT_EQ(report(Status()), Error::Ok);
  EXPECT_EQ(logged().size(), 1u);
}

TEST(ErrorMapTest, ALongMessageReachesExecuTorchsLogWhole) {
  executorch::runtime::runtime_init();
  const LogSink before = set_log_sink(log_to_executorch);
  const std::string message = "begin " + std::string(1000, 'x') + " end";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(report(engine_failure(message, "op_417")), Error::DelegateInvalidHandle);
  COREML_DELEGATE_LOG(kWarning, "mind the %s", "gap");
  const std::string printed = ::testing::internal::GetCapturedStderr();
  set_log_sink(before);
  EXPECT_THAT(printed, HasSubstr(message));
  EXPECT_THAT(printed, HasSubstr("op_417"));
  EXPECT_THAT(printed, HasSubstr("warning: mind the gap"));
  EXPECT_THAT(printed, Not(HasSubstr("runtime/delegate/error_map.cc")))
      << "file names without folders";
}

}  // namespace
}  // namespace coreml_delegate
