#ifndef COREML_DELEGATE_BASE_MUTEX_H_
#define COREML_DELEGATE_BASE_MUTEX_H_

// Mutexes that Clang's thread safety analysis understands: a build of this repository fails where a
// member is used without the mutex that guards it (-Wthread-safety, tools/build_defs/cc.bzl).
//
//   class Counter {
//    public:
//     void add() {
//       const MutexLock lock(mutex_);
//       ++count_;
//     }
//
//    private:
//     Mutex mutex_;
//     int count_ COREML_DELEGATE_GUARDED_BY(mutex_) = 0;
//   };
//
// Other compilers see std::mutex, std::recursive_mutex and std::condition_variable.
//
// Thread rule: everything here may be used from several threads at once.

#include <chrono>
#include <condition_variable>
#include <mutex>

#ifdef __clang__
#define COREML_DELEGATE_THREAD_ANNOTATION(attribute) __attribute__((attribute))
#else
#define COREML_DELEGATE_THREAD_ANNOTATION(attribute)
#endif

// Of a member or variable: used only while the mutex is held.
#define COREML_DELEGATE_GUARDED_BY(mutex) COREML_DELEGATE_THREAD_ANNOTATION(guarded_by(mutex))
// Of a function: its caller holds the mutex.
#define COREML_DELEGATE_REQUIRES(mutex) \
  COREML_DELEGATE_THREAD_ANNOTATION(requires_capability(mutex))
// Of a function: it returns a reference to this mutex.
#define COREML_DELEGATE_RETURNS_MUTEX(mutex) COREML_DELEGATE_THREAD_ANNOTATION(lock_returned(mutex))

namespace coreml_delegate {

class COREML_DELEGATE_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // MutexLock calls these. A thread must not lock a mutex that it holds.
  void lock() COREML_DELEGATE_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void unlock() COREML_DELEGATE_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class ConditionVariable;
  std::mutex mutex_;
};

// A thread may lock it again while it holds it, and must unlock it as often.
class COREML_DELEGATE_THREAD_ANNOTATION(capability("mutex")) RecursiveMutex {
 public:
  RecursiveMutex() = default;
  RecursiveMutex(const RecursiveMutex&) = delete;
  RecursiveMutex& operator=(const RecursiveMutex&) = delete;

  void lock() COREML_DELEGATE_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void unlock() COREML_DELEGATE_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }
  // Does nothing. It tells the analysis that this thread holds the mutex, where an object holds it
  // longer than a scope.
  void is_held() const COREML_DELEGATE_THREAD_ANNOTATION(assert_capability(this)) {}

 private:
  std::recursive_mutex mutex_;
};

// Holds a Mutex or a RecursiveMutex from here to the end of the scope.
template <typename AnyMutex>
class COREML_DELEGATE_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(AnyMutex& mutex) COREML_DELEGATE_THREAD_ANNOTATION(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() COREML_DELEGATE_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  AnyMutex& mutex_;
};

// std::condition_variable for Mutex. Its functions may return although nobody has notified: call
// them in a loop that asks for what is waited for.
class ConditionVariable {
 public:
  // Unlocks the mutex while it waits.
  void wait(Mutex& mutex) COREML_DELEGATE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }
  // The same, for at most `timeout`.
  void wait_for(Mutex& mutex, std::chrono::milliseconds timeout) COREML_DELEGATE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    changed_.wait_for(lock, timeout);
    lock.release();
  }
  void notify_all() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_MUTEX_H_
