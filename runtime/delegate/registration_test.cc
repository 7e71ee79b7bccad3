// The library as a program that links it sees it. Static registration is part of this program.

#include "runtime/delegate/registration.h"

#include <executorch/runtime/backend/interface.h>
#include <executorch/runtime/platform/runtime.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/delegate/testing_support.h"
#include "runtime/engine/platform_engine.h"
#include "runtime/include/coreml_backend/delegate.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_c.h"

namespace coreml_delegate {

namespace engine {

// This program has no engine of a platform.
static std::atomic<int> g_platform_engine_asked_for = 0;
Status register_platform_engine() {
  ++g_platform_engine_asked_for;
  return {};
}

// Of an app that asks for both.
Result<AppSettings> app_settings() {
  return AppSettings{.warm_up = true, .cache_bytes = 1'500'001};
}

}  // namespace engine

namespace {

using executorch::runtime::Error;
using StockDelegate = executorch::backends::coreml::CoreMLBackendDelegate;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

TEST(RegistrationTest, RegisteringAsksForThePlatformsEngine) {
  executorch::runtime::runtime_init();
  const int before = engine::g_platform_engine_asked_for;
  EXPECT_GE(before, 1) << "the static initialiser registers it, too";
  EXPECT_EQ(register_backend(), Error::Ok);
  EXPECT_EQ(engine::g_platform_engine_asked_for, before + 1);
}

TEST(StockDelegateTest, HandsOnToTheProcessesBackend) {
  executorch::runtime::runtime_init();
  auto* const delegate = StockDelegate::get_registered_delegate();
  ASSERT_NE(delegate, nullptr);
  EXPECT_EQ(StockDelegate::get_registered_delegate(), delegate);
  testing::registered_fake_engine();
  EXPECT_TRUE(delegate->is_available());
  // As older programs and those that register by hand spell it.
  static_assert(std::is_same_v<torch::executor::CoreMLBackendDelegate, StockDelegate>);
  const auto own = std::make_unique<StockDelegate>();
  EXPECT_TRUE(own->is_available());
  EXPECT_EQ(StockDelegate::get_registered_delegate(), delegate);
  executorch::core_ml_backend_delegate::register_backend_coreml();
  EXPECT_EQ(executorch::runtime::get_backend_class("CoreMLBackend"), &process_backend());
}

TEST(RegistrationTest, WhatTheAppAsksForHoldsUntilSomebodySaysOtherwise) {
  executorch::runtime::runtime_init();
  CoreMLBackend& backend = process_backend();
  EXPECT_EQ(backend.defaults().warm_up, true);
  EXPECT_EQ(backend.defaults().cache_budget_mb, 2);
  EXPECT_FALSE(backend.defaults().threads.has_value());
  executorch::runtime::BackendOptionContext context;
  executorch::runtime::BackendOptions<1> options;
  ASSERT_EQ(options.set_option("warm_up", false), Error::Ok);
  EXPECT_EQ(backend.set_option(context, options.view()), Error::Ok);
  EXPECT_EQ(backend.defaults().warm_up, false);
}

TEST(StockDelegateTest, OptionsAreThoseOfTheProcessesBackend) {
  executorch::runtime::runtime_init();
  auto* const delegate = StockDelegate::get_registered_delegate();
  ASSERT_NE(delegate, nullptr);
  executorch::runtime::BackendOptionContext context;
  executorch::runtime::BackendOptions<1> options;
  ASSERT_EQ(options.set_option("threads", 3), Error::Ok);
  EXPECT_EQ(delegate->set_option(context, options.view()), Error::Ok);
  EXPECT_EQ(process_backend().defaults().threads, 3);
  ASSERT_EQ(options.set_option("threads", 0), Error::Ok);
  auto view = options.view();
  EXPECT_EQ(delegate->get_option(context, view), Error::Ok);
  EXPECT_EQ(std::get<int>(view[0].value), 3);
  ASSERT_EQ(options.set_option("threads", 0), Error::Ok);
  EXPECT_EQ(delegate->set_option(context, options.view()), Error::Ok);
}

TEST(StockDelegateTest, PurgingTheModelsCache) {
  executorch::runtime::runtime_init();
  auto* const delegate = StockDelegate::get_registered_delegate();
  ASSERT_NE(delegate, nullptr);
  EXPECT_TRUE(delegate->purge_models_cache()) << "nothing is kept, so nothing is left";
  const std::string file = std::string(::testing::TempDir()) + "/no_folder";
  ASSERT_TRUE(std::ofstream(file).put('x').good());
  executorch::runtime::BackendOptionContext context;
  executorch::runtime::BackendOptions<1> options;
  ASSERT_EQ(options.set_option("cache_dir", (file + "/cache").c_str()), Error::Ok);
  ASSERT_EQ(delegate->set_option(context, options.view()), Error::Ok);
  EXPECT_FALSE(delegate->purge_models_cache());
  EXPECT_THAT(last_error(), HasSubstr("the cache could not be used"));
  const std::string folder = std::string(::testing::TempDir()) + "/cache_to_purge";
  ASSERT_EQ(options.set_option("cache_dir", folder.c_str()), Error::Ok);
  ASSERT_EQ(delegate->set_option(context, options.view()), Error::Ok);
  EXPECT_TRUE(delegate->purge_models_cache()) << last_error();
  ASSERT_EQ(options.set_option("cache_dir", ""), Error::Ok);
  EXPECT_EQ(delegate->set_option(context, options.view()), Error::Ok);
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
               R"({"version":"0.1.0","registered_backends":["CoreMLBackend"],"is_registered":true,)"
               R"("engines":[{"name":"fake","fingerprint":"fake 1"}],"default_engine":""})");
}

TEST(RegistrationTest, TheOptionsAreListedForOtherLanguages) {
  const std::string list = coreml_delegate_load_options();
  EXPECT_THAT(list, StartsWith(R"([{"name":"engine","kind":"string","choices":[],"doc":"the )"));
  EXPECT_THAT(list, HasSubstr(R"({"name":"share_models","kind":"bool","choices":[],)"));
  EXPECT_THAT(list, HasSubstr(R"({"name":"cache_dir","kind":"path","choices":[],)"));
  EXPECT_THAT(list, HasSubstr(R"({"name":"compute_unit","kind":"choice","choices":["all",)"));
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
