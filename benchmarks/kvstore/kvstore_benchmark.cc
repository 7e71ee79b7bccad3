// What kvstore costs above the same statements written by hand, and beside one JSON file; and what
// a hit in the store of compiled models costs above opening its files.
//
//   tools/bazel run -c opt //benchmarks/kvstore:kvstore_benchmark [-- ROUNDS]
//
//   put          2,000 new rows in one transaction
//   put_commit   100 rows, each committed by itself
//   get          2,000 rows by key, in random order
//   scan         all 2,000 rows
//   json_put     one row more: the file is written anew, synced and renamed (against put_commit)
//   json_get     one row from a file that was not read before (against opening the database and
//   get)
//
// Rows have a 64-character key and a 200-byte value, as the store's index has. The hand-written
// statements are prepared once, on a table of the same shape, with the same settings, and return
// the same std::string. Rounds are interleaved; the ratio is peer time / our time (above 1: kvstore
// is faster) of the medians, with a bootstrap 95 % interval.

#include <sqlite3.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/logging.h"
#include "base/sha256.h"
#include "base/status.h"
#include "kvstore/database.h"
#include "kvstore/store.h"
#include "runtime/assets/asset_store.h"

namespace coreml_delegate {
namespace {

using Clock = std::chrono::steady_clock;
using Strings = kvstore::Store<std::string, std::string>;

constexpr int kRows = 2000;
constexpr int kCommits = 100;

void require(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  std::exit(1);
}
template <typename T>
T require(Result<T> result) {
  require(result.status());
  return *std::move(result);
}
void require_sqlite(int code, int expected = SQLITE_OK) {
  if (code == expected) return;
  std::fprintf(stderr, "SQLite: %s\n", sqlite3_errstr(code));
  std::exit(1);
}

// Of this thread's processor time: what others do on the machine, and waiting for the disk, are not
// in it.
double cpu_microseconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
  };
  const double start = now();
  work();
  return now() - start;
}

double microseconds(const std::function<void()>& work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

struct Ratio {
  double value = 0;
  double low = 0;
  double high = 0;
};

Ratio ratio(const std::vector<double>& peer, const std::vector<double>& ours) {
  std::mt19937 random(1);
  std::vector<double> resampled;
  for (int i = 0; i < 2000; ++i) {
    std::vector<double> a;
    std::vector<double> b;
    for (size_t k = 0; k < ours.size(); ++k) {
      const size_t pick = random() % ours.size();
      a.push_back(peer[pick]);
      b.push_back(ours[pick]);
    }
    resampled.push_back(median(a) / median(b));
  }
  std::sort(resampled.begin(), resampled.end());
  return {median(peer) / median(ours), resampled[50], resampled[1949]};
}

std::vector<std::pair<std::string, std::string>> make_rows() {
  std::vector<std::pair<std::string, std::string>> rows;
  std::mt19937_64 random(7);
  for (int i = 0; i < kRows; ++i) {
    std::string value(200, '\0');
    for (char& c : value) c = static_cast<char>('a' + random() % 26);
    rows.emplace_back(to_hex(sha256(as_bytes(std::to_string(i)))), value);
  }
  return rows;
}

// The statements by hand.
class HandWritten {
 public:
  explicit HandWritten(const std::string& path) {
    require_sqlite(sqlite3_open_v2(path.c_str(), &database_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                   nullptr));
    execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        "CREATE TABLE t(key BLOB NOT NULL PRIMARY KEY, value NOT NULL) WITHOUT ROWID");
    prepare(
        "INSERT INTO t(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = "
        "excluded.value",
        put_);
    prepare("SELECT value FROM t WHERE key = ?1", get_);
    prepare("SELECT key, value FROM t ORDER BY key", scan_);
  }
  HandWritten(const HandWritten&) = delete;
  HandWritten& operator=(const HandWritten&) = delete;
  ~HandWritten() {
    for (sqlite3_stmt* statement : {put_, get_, scan_}) sqlite3_finalize(statement);
    sqlite3_close(database_);
  }

  void execute(const char* sql) {
    require_sqlite(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr));
  }
  void put(const std::string& key, const std::string& value) {
    bind(put_, 1, key);
    bind(put_, 2, value);
    require_sqlite(sqlite3_step(put_), SQLITE_DONE);
    sqlite3_reset(put_);
  }
  std::string get(const std::string& key) {
    bind(get_, 1, key);
    require_sqlite(sqlite3_step(get_), SQLITE_ROW);
    std::string value = text(get_, 0);
    sqlite3_reset(get_);
    return value;
  }
  size_t scan() {
    size_t bytes = 0;
    while (sqlite3_step(scan_) == SQLITE_ROW) {
      const std::string key = text(scan_, 0);
      const std::string value = text(scan_, 1);
      bytes += key.size() + value.size();
    }
    sqlite3_reset(scan_);
    return bytes;
  }

 private:
  void prepare(const char* sql, sqlite3_stmt*& statement) {
    require_sqlite(
        sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
  }
  static void bind(sqlite3_stmt* statement, int index, const std::string& value) {
    require_sqlite(
        sqlite3_bind_blob64(statement, index, value.data(), value.size(), SQLITE_STATIC));
  }
  static std::string text(sqlite3_stmt* statement, int column) {
    return {static_cast<const char*>(sqlite3_column_blob(statement, column)),
            static_cast<size_t>(sqlite3_column_bytes(statement, column))};
  }

  sqlite3* database_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* get_ = nullptr;
  sqlite3_stmt* scan_ = nullptr;
};

void write_json(FileSystem& files, const std::string& path, const nlohmann::json& json) {
  const std::string next = path + ".new";
  {
    const std::unique_ptr<WritableFile> file = require(files.create(next));
    require(file->append(as_bytes(json.dump())));
    require(file->sync());
    require(file->close());
  }
  require(files.rename(next, path));
}

struct Samples {
  std::vector<double> ours;
  std::vector<double> peer;
};

void print(const char* name, const Samples& samples, int operations, const char* peer) {
  const Ratio found = ratio(samples.peer, samples.ours);
  std::printf("%-11s %9.2f us  %-12s %9.2f us  ratio %7.2f [%.2f, %.2f]\n", name,
              median(samples.ours) / operations, peer, median(samples.peer) / operations,
              found.value, found.low, found.high);
}

void compare(const std::string& folder, int rounds) {
  FileSystem& files = real_file_system();
  const auto rows = make_rows();
  auto shuffled = rows;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(3));
  Samples put;
  Samples commit;
  Samples get;
  Samples scan;
  Samples json_put;
  Samples json_get;
  size_t bytes = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string place = require(files.make_unique_directory(folder, "round."));
    const std::string path = join_path(place, "ours.db");
    std::unique_ptr<kvstore::Database> database = require(kvstore::Database::open(path, {}));
    auto store = std::make_unique<Strings>(require(Strings::open(*database, "s", {})));
    HandWritten hand(join_path(place, "hand.db"));
    nlohmann::json json = nlohmann::json::object();
    for (const auto& [key, value] : rows) json[key] = value;
    const std::string json_path = join_path(place, "rows.json");
    write_json(files, json_path, json);

    // Whoever comes first finds the caches colder: they take turns.
    const auto both = [&](Samples& samples, const std::function<void()>& ours,
                          const std::function<void()>& peer, auto measure) {
      if (round % 2 == 0) samples.ours.push_back(measure(ours));
      samples.peer.push_back(measure(peer));
      if (round % 2 != 0) samples.ours.push_back(measure(ours));
    };
    both(
        put,
        [&] {
          require(database->atomically([&]() -> Status {
            for (const auto& [key, value] : shuffled)
              COREML_DELEGATE_RETURN_IF_ERROR(store->put(key, value));
            return {};
          }));
        },
        [&] {
          hand.execute("BEGIN IMMEDIATE");
          for (const auto& [key, value] : shuffled) hand.put(key, value);
          hand.execute("COMMIT");
        },
        cpu_microseconds);
    both(
        commit,
        [&] {
          for (int i = 0; i < kCommits; ++i) require(store->put(rows[i].first, rows[i].second));
        },
        [&] {
          for (int i = 0; i < kCommits; ++i) hand.put(rows[i].first, rows[i].second);
        },
        cpu_microseconds);
    both(
        get,
        [&] {
          for (const auto& row : shuffled) bytes += require(store->get(row.first))->size();
        },
        [&] {
          for (const auto& row : shuffled) bytes += hand.get(row.first).size();
        },
        cpu_microseconds);
    both(
        scan,
        [&] {
          require(store->scan({}, [&](const auto& row) {
            bytes += row.key.size() + row.value.size();
            return true;
          }));
        },
        [&] { bytes += hand.scan(); }, cpu_microseconds);
    both(
        json_put, [&] { require(store->put(rows[0].first, rows[1].second)); },
        [&] {
          json[rows[0].first] = rows[1].second;
          write_json(files, json_path, json);
        },
        microseconds);
    store = nullptr;
    database = nullptr;
    both(
        json_get,
        [&] {
          database = require(kvstore::Database::open(path, {}));
          store = std::make_unique<Strings>(require(Strings::open(*database, "s", {})));
          bytes += require(store->get(rows[5].first))->size();
        },
        [&] {
          std::ifstream file(json_path);
          const nlohmann::json read = nlohmann::json::parse(file);
          bytes += read[rows[5].first].get_ref<const std::string&>().size();
        },
        microseconds);
    store = nullptr;
    database = nullptr;
    require(files.remove_tree(place));
  }
  print("put", put, kRows, "hand-written");
  print("put_commit", commit, kCommits, "hand-written");
  print("get", get, kRows, "hand-written");
  print("scan", scan, kRows, "hand-written");
  print("json_put", json_put, 1, "JSON file");
  print("json_get", json_get, 1, "JSON file");
  if (bytes == 0) std::puts("nothing was read");
}

void measure_hits(const std::string& folder, int rounds) {
  FileSystem& files = real_file_system();
  assets::AssetStoreOptions options;
  options.folder = join_path(folder, "cache");
  options.free_floor_bytes = 0;
  const auto store = require(assets::AssetStore::open(options));
  const assets::AssetKey key{
      .content = sha256(as_bytes("model")), .request = "benchmark", .attributes = {}};
  constexpr size_t kGraphBytes = 90'000'000;
  const auto compile = [&](const std::string& content) -> Status {
    for (const auto& [name, size] :
         {std::pair("graph.ov", kGraphBytes), std::pair("description.json", size_t{2000})}) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file,
                                       files.create(join_path(content, name)));
      COREML_DELEGATE_RETURN_IF_ERROR(file->append(as_bytes(std::string(size, 'x'))));
      COREML_DELEGATE_RETURN_IF_ERROR(file->close());
    }
    return {};
  };
  const std::string content = require(store->acquire(key, compile)).lease->folder();
  std::vector<double> hits;
  std::vector<double> opens;
  std::vector<double> first_uses;
  for (int i = 0; i < rounds * 20; ++i) {
    hits.push_back(microseconds([&] {
      const assets::Acquired acquired = require(store->acquire(key, compile));
      if (acquired.source != assets::Source::kHit) std::exit(1);
    }));
    opens.push_back(microseconds([&] {
      for (const char* name : {"graph.ov", "description.json"}) {
        (void)require(files.map(join_path(content, name)));
      }
    }));
  }
  for (int i = 0; i < 5; ++i) {
    const auto other = require(assets::AssetStore::open(options));
    first_uses.push_back(microseconds([&] { (void)require(other->acquire(key, compile)); }));
  }
  std::printf(
      "\nhit %.1f us (its two files are found, leased, measured and counted as used); "
      "opening the two files %.1f us; difference %.1f us\n",
      median(hits), median(opens), median(hits) - median(opens));
  std::printf("first hit of a process, every checksum of %.0f MB compared: %.1f ms\n",
              kGraphBytes / 1e6, median(first_uses) / 1000);
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(3, std::atoi(argv[1])) : 25;
  set_log_level(LogLevel::kError);
  FileSystem& files = real_file_system();
  const std::string folder =
      require(files.make_unique_directory(temporary_directory(), "kvstore_benchmark."));
  compare(folder, rounds);
  measure_hits(folder, rounds);
  require(files.remove_tree(folder));
  return 0;
}

}  // namespace
}  // namespace coreml_delegate

int main(int argc, char** argv) { return coreml_delegate::main(argc, argv); }
