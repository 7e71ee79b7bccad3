#include "base/mutex.h"

#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate {
namespace {

using ::testing::HasSubstr;

// Of a base/testdata source.
std::string what_the_compiler_says(const std::string& source) {
  std::ifstream file("base/mutex_refused." + source + ".txt");
  EXPECT_TRUE(file.good()) << source;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(MutexTest, TheCompilerRefusesAUseWithoutTheMutex) {
  EXPECT_THAT(what_the_compiler_says("unguarded.cc"),
              HasSubstr("reading variable 'count_' requires holding mutex 'mutex_'"));
}

TEST(MutexTest, OneThreadAtATime) {
  struct {
    Mutex mutex;
    int count COREML_DELEGATE_GUARDED_BY(mutex) = 0;
  } counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10'000; ++j) {
        const MutexLock lock(counter.mutex);
        ++counter.count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.count, 40'000);
}

TEST(MutexTest, ARecursiveOneIsLockedAgainByItsThread) {
  RecursiveMutex mutex;
  const auto lock_again = [&] {
    const MutexLock again(mutex);
    return true;
  };
  {
    const MutexLock lock(mutex);
    EXPECT_TRUE(lock_again());
  }
  // It is free again: another thread gets it.
  bool others = false;
  std::thread([&] { others = lock_again(); }).join();
  EXPECT_TRUE(others);
}

TEST(ConditionVariableTest, WaitsUntilItIsTold) {
  struct {
    Mutex mutex;
    ConditionVariable changed;
    bool is_asked COREML_DELEGATE_GUARDED_BY(mutex) = false;
    bool is_answered COREML_DELEGATE_GUARDED_BY(mutex) = false;
  } talk;
  std::thread other([&] {
    const MutexLock lock(talk.mutex);
    while (!talk.is_asked) talk.changed.wait(talk.mutex);
    talk.is_answered = true;
    talk.changed.notify_all();
  });
  {
    const MutexLock lock(talk.mutex);
    talk.is_asked = true;
    talk.changed.notify_all();
    while (!talk.is_answered) talk.changed.wait(talk.mutex);
    EXPECT_TRUE(talk.is_answered);
  }
  other.join();
}

TEST(ConditionVariableTest, WaitsNoLongerThanItsTime) {
  Mutex mutex;
  ConditionVariable never;
  const MutexLock lock(mutex);
  const auto start = std::chrono::steady_clock::now();
  never.wait_for(mutex, std::chrono::milliseconds(1));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

}  // namespace
}  // namespace coreml_delegate
