#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::unique_ptr<Engine>> engines;
};

// Never destroyed: engines may be used by static destructors of others.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

Engine* find_locked(const Registry& registry, std::string_view name) {
  for (const std::unique_ptr<Engine>& engine : registry.engines) {
    if (engine->name() == name) return engine.get();
  }
  return nullptr;
}

}  // namespace

Status register_engine(std::unique_ptr<Engine> engine) {
  Registry& instance = registry();
  const std::lock_guard<std::mutex> lock(instance.mutex);
  if (find_locked(instance, engine->name()) != nullptr) {
    return already_exists("an engine of this name is registered", std::string(engine->name()));
  }
  instance.engines.push_back(std::move(engine));
  return {};
}

Result<Engine*> find_engine(std::string_view name) {
  Registry& instance = registry();
  std::string names;
  {
    const std::lock_guard<std::mutex> lock(instance.mutex);
    if (!name.empty()) {
      if (Engine* const engine = find_locked(instance, name)) return engine;
    } else {
      for (const char* const preferred : {"coreml", "portable"}) {
        if (Engine* const engine = find_locked(instance, preferred)) return engine;
      }
    }
    for (const std::unique_ptr<Engine>& engine : instance.engines) {
      names += (names.empty() ? "" : ", ") + std::string(engine->name());
    }
  }
  if (names.empty()) names = "none";
  return not_found(
      (name.empty() ? "no default engine is registered" : "no engine of this name is registered") +
          ("; registered: " + names) + "; link the engine's library into the program",
      std::string(name));
}

std::vector<std::string> engine_names() {
  Registry& instance = registry();
  const std::lock_guard<std::mutex> lock(instance.mutex);
  std::vector<std::string> names;
  for (const std::unique_ptr<Engine>& engine : instance.engines) {
    names.emplace_back(engine->name());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace coreml_delegate::engine
