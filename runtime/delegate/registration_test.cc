// The library as a program that links it sees it. Static registration is part of this program.

#include "runtime/delegate/registration.h"

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/runtime.h>

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/testing_support.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_c.h"

namespace coreml_delegate {
namespace {

using executorch::runtime::Error;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST(RegistrationTest, TheBackendIsThereWhenTheProgramStarts) {
  executorch::runtime::runtime_init();
  EXPECT_EQ(executorch::runtime::get_backend_class("CoreMLBackend"), &process_backend());
}

TEST(RegistrationTest, RegisteringAgainIsFineFromAnyThread) {
  executorch::runtime::runtime_init();
  const size_t before = executorch::runtime::get_num_registered_backends();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] { EXPECT_EQ(register_backend(), Error::Ok); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(coreml_delegate_register_backend(), 0u);
  EXPECT_EQ(executorch::runtime::get_num_registered_backends(), before);
}

TEST(RegistrationTest, AvailableOnceThereIsAnEngine) {
  executorch::runtime::runtime_init();
  testing::registered_fake_engine();
  EXPECT_TRUE(process_backend().is_available());
}

TEST(RegistrationTest, DiagnosticsListBackendsAndEngines) {
  executorch::runtime::runtime_init();
  testing::registered_fake_engine();
  const Diagnostics found = diagnose();
  EXPECT_EQ(found.version, kVersion);
  EXPECT_TRUE(found.is_registered);
  EXPECT_THAT(found.registered_backends, Contains("CoreMLBackend"));
  ASSERT_EQ(found.engines.size(), 1u);
  EXPECT_EQ(found.engines[0].name, "fake");
  EXPECT_EQ(found.engines[0].fingerprint, "fake 1");
  EXPECT_EQ(found.default_engine, "") << "the fake engine is nobody's default";
  EXPECT_THAT(found.to_string(), HasSubstr("engine fake: fake 1"));
  EXPECT_THAT(found.to_string(), HasSubstr("registered as CoreMLBackend"));
  EXPECT_THAT(Diagnostics().to_string(), HasSubstr("no engine is linked in"));
  EXPECT_STREQ(coreml_delegate_diagnose(),
               "{\"version\": \"0.1.0\", \"registered_backends\": [\"CoreMLBackend\"], "
               "\"is_registered\": true, "
               "\"engines\": [{\"name\": \"fake\", \"fingerprint\": \"fake 1\"}], "
               "\"default_engine\": \"\"}");
}

TEST(RegistrationTest, OptionsFromCReachTheBackendAndFailuresSayWhy) {
  executorch::runtime::runtime_init();
  testing::registered_fake_engine();
  EXPECT_EQ(coreml_delegate_set_string_option("engine", "fake"), 0u);
  EXPECT_EQ(coreml_delegate_set_int_option("threads", 2), 0u);
  EXPECT_EQ(coreml_delegate_set_bool_option("share_models", 1), 0u);
  executorch::runtime::BackendOptions<3> options;
  (void)options.set_option("engine", "");
  (void)options.set_option("threads", 0);
  (void)options.set_option("share_models", false);
  ASSERT_EQ(executorch::runtime::get_option("CoreMLBackend", options.view()), Error::Ok);
  const char* engine = nullptr;
  int threads = 0;
  bool share = false;
  (void)options.get_option("engine", engine);
  (void)options.get_option("threads", threads);
  (void)options.get_option("share_models", share);
  EXPECT_STREQ(engine, "fake");
  EXPECT_EQ(threads, 2);
  EXPECT_TRUE(share);

  const auto invalid = static_cast<uint32_t>(Error::InvalidArgument);
  EXPECT_EQ(coreml_delegate_set_string_option("colour", "red"), invalid);
  EXPECT_THAT(coreml_delegate_last_error(), HasSubstr("colour"));
  EXPECT_EQ(coreml_delegate_set_string_option("engine", std::string(300, 'e').c_str()), invalid);
  EXPECT_EQ(coreml_delegate_set_string_option("engine", nullptr), invalid);
  EXPECT_EQ(coreml_delegate_set_int_option(std::string(100, 'k').c_str(), 1), invalid);
  EXPECT_EQ(coreml_delegate_set_int_option(nullptr, 1), invalid);
  EXPECT_EQ(coreml_delegate_reset_states(nullptr), 0u);
  EXPECT_EQ(coreml_delegate_reset_states("nobody"), static_cast<uint32_t>(Error::NotFound));
  EXPECT_THAT(last_error(), HasSubstr("nobody"));
}

}  // namespace
}  // namespace coreml_delegate
