#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

namespace {

struct Registered {
  std::unique_ptr<Engine> engine;
  DefaultRank rank = DefaultRank::kNever;
};

struct Registry {
  Mutex mutex;
  std::vector<Registered> engines COREML_DELEGATE_GUARDED_BY(mutex);
};

// Never destroyed: engines may be used by static destructors of others.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

Engine* find_locked(const Registry& registry, std::string_view name)
    COREML_DELEGATE_REQUIRES(registry.mutex) {
  for (const Registered& registered : registry.engines) {
    if (registered.engine->name() == name) return registered.engine.get();
  }
  return nullptr;
}

Engine* find_default_locked(const Registry& registry) COREML_DELEGATE_REQUIRES(registry.mutex) {
  const Registered* best = nullptr;
  for (const Registered& registered : registry.engines) {
    if (registered.rank == DefaultRank::kNever) continue;
    if (best == nullptr || registered.rank > best->rank) best = &registered;
  }
  return best == nullptr ? nullptr : best->engine.get();
}

}  // namespace

Status register_engine(std::unique_ptr<Engine> engine, DefaultRank rank) {
  Registry& instance = registry();
  const MutexLock lock(instance.mutex);
  if (find_locked(instance, engine->name()) != nullptr) {
    return already_exists("an engine with this name is already registered",
                          std::string(engine->name()));
  }
  instance.engines.push_back({std::move(engine), rank});
  return {};
}

Result<Engine*> find_engine(std::string_view name) {
  Registry& instance = registry();
  std::string names;
  {
    const MutexLock lock(instance.mutex);
    Engine* const engine =
        name.empty() ? find_default_locked(instance) : find_locked(instance, name);
    if (engine != nullptr) return engine;
    for (const Registered& registered : instance.engines) {
      names += (names.empty() ? "" : ", ") + std::string(registered.engine->name());
    }
  }
  if (names.empty()) names = "none";
  return not_found((name.empty() ? "no default engine is registered"
                                 : "no engine with this name is registered") +
                       ("; the registered engines are: " + names) +
                       "; link the engine's library into the program",
                   std::string(name));
}

std::vector<std::string> engine_names() {
  Registry& instance = registry();
  const MutexLock lock(instance.mutex);
  std::vector<std::string> names;
  for (const Registered& registered : instance.engines) {
    names.emplace_back(registered.engine->name());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace coreml_delegate::engine
