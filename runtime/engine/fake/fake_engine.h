#ifndef COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_ENGINE_H_

// An engine for tests: it executes the toy models of fake_program.h, fails where it is told to,
// counts what it was asked for and can be held at any stage. It keeps the seam's promises:
// everything is checked before anything is written, a failed execution leaves the state as it was.
//
//   auto engine = std::make_unique<FakeEngine>(FakeEngineOptions{.name = "fake"});
//   FakeControls& controls = engine->controls();
//   COREML_DELEGATE_RETURN_IF_ERROR(register_engine(std::move(engine)));
//   controls.fail_next(FakeStage::kExecute, engine_failure("out of luck"));
//
// Thread rule: everything may be called from several threads at once.

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/fake/fake_program.h"

namespace coreml_delegate::engine {

enum class FakeStage {
  kDescribe,
  kCompile,
  kLoad,  // load() and load_source().
  kMakeState,
  kExecute,     // Before anything is computed.
  kExecuteEnd,  // After outputs are computed, before state and outputs are written.
  kResetState,
  kCopyState,
};
inline constexpr size_t kFakeStageCount = 8;

// Shared by an engine and its models, which may outlive a test's interest in it.
class FakeControls {
 public:
  // The next `count` entries into the stage fail with `status`.
  void fail_next(FakeStage stage, Status status, int count = 1);
  // Called on the thread that enters the stage, with no lock held; null takes it away. For latches.
  void set_hook(FakeStage stage, std::function<void()> hook);
  // Entries into the stage so far, failed ones included.
  int64_t count(FakeStage stage) const;
  int64_t live_models() const { return live_models_; }
  // Most executions that ever ran at once.
  int64_t most_concurrent_executions() const { return most_concurrent_executions_; }
  LoadOptions last_load_options() const;

 private:
  friend class FakeEngine;
  friend class FakeModel;
  friend class FakeState;
  Status enter(FakeStage stage);

  mutable Mutex mutex_;
  struct Injection {
    Status status;
    int remaining = 0;
  };
  std::array<Injection, kFakeStageCount> injections_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::array<std::function<void()>, kFakeStageCount> hooks_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::array<int64_t, kFakeStageCount> counts_ COREML_DELEGATE_GUARDED_BY(mutex_) = {};
  LoadOptions last_load_options_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::atomic<int64_t> live_models_ = 0;
  std::atomic<int64_t> executing_ = 0;
  std::atomic<int64_t> most_concurrent_executions_ = 0;
};

struct FakeEngineOptions {
  std::string name = "fake";
  std::string fingerprint = "fake 1";
  // What Model::accepts_strides() answers for strides that are not contiguous.
  bool accepts_strides = true;
  // Whether models keep the source's Bytes (as engines that use weights in place do) or copies of
  // them.
  bool borrows_weights = true;
};

class FakeEngine : public Engine {
 public:
  explicit FakeEngine(FakeEngineOptions options = {});

  FakeControls& controls() { return *controls_; }

  std::string_view name() const override { return options_.name; }
  std::string fingerprint() const override { return options_.fingerprint; }
  Result<std::vector<FunctionDescription>> describe(const ModelSource& source) const override;
  // The compiled form depends on the numeric mode, as the portable engine's does; what is loaded
  // depends on every option.
  Result<CompileRequest> plan(const ModelSource& source, const LoadOptions& options) const override;
  using Engine::compile;
  using Engine::load;
  using Engine::load_source;
  Status compile(const ModelSource& source, const std::string& folder,
                 const CompileRequest& request, const Controls& controls) override;
  Result<std::unique_ptr<Model>> load(const std::string& folder, const CompileRequest& request,
                                      const Controls& controls) override;
  Result<std::unique_ptr<Model>> load_source(const ModelSource& source,
                                             const CompileRequest& request,
                                             const Controls& controls) override;

 private:
  Result<LoadOptions> options_of(const CompileRequest& request, const Controls& controls) const;
  Result<std::unique_ptr<Model>> load_tree(const inmemoryfs::InMemoryFileSystem& files,
                                           const LoadOptions& options);

  const FakeEngineOptions options_;
  const std::shared_ptr<FakeControls> controls_;
};

// A package with the program `text` and further files (path, content), borrowed: the strings must
// outlive the tree.
Result<inmemoryfs::InMemoryFileSystem> make_fake_package(
    std::string_view text, const std::vector<std::pair<std::string, ByteSpan>>& files = {});

// Opens once; threads that arrive before wait. For hooks.
class Latch {
 public:
  void open();
  void wait();
  // Waits until `count` threads are in wait().
  void wait_for_waiters(int count);

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  bool open_ COREML_DELEGATE_GUARDED_BY(mutex_) = false;
  int waiters_ COREML_DELEGATE_GUARDED_BY(mutex_) = 0;
};

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_FAKE_FAKE_ENGINE_H_
