// Puts a number into a store of the folder given, reads it back, prints it.

#include <cstdint>
#include <cstdio>
#include <string>

#include "kvstore/database.h"
#include "kvstore/store.h"

#ifndef THEIR_SQLITE
#error the key-value store is not built with the SQLite that this workspace names
#endif

int main(int argc, char** argv) {
  using coreml_delegate::kvstore::Database;
  using coreml_delegate::kvstore::Store;
  if (argc != 2) return 2;
  auto database = Database::open(std::string(argv[1]) + "/store.sqlite", {});
  if (!database.ok()) return 1;
  auto store = Store<std::string, int64_t>::open(**database, "hits", {});
  if (!store.ok() || !store->put("a", 7).ok()) return 1;
  auto hits = store->get("a");
  if (!hits.ok() || !hits->has_value()) return 1;
  std::printf("%lld\n", static_cast<long long>(**hits));
}
