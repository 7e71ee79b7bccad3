// Must not compile: `count` is read without its mutex.

#include "base/mutex.h"

namespace coreml_delegate {

class Counter {
 public:
  void add() {
    const MutexLock lock(mutex_);
    ++count_;
  }
  int count() const { return count_; }

 private:
  Mutex mutex_;
  int count_ COREML_DELEGATE_GUARDED_BY(mutex_) = 0;
};

int use(Counter& counter) {
  counter.add();
  return counter.count();
}

}  // namespace coreml_delegate
