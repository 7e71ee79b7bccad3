#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_OBJC_PTR_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_OBJC_PTR_H_

// The one place that retains and releases what C++ objects hold. Objective-C++, compiled without
// automatic reference counting.
//
//   // What is autoreleased needs a reference of our own.
//   ObjCPtr<MLModel> model = ObjCPtr<MLModel>::retain([MLModel modelWithContentsOfURL:...]);
//   // What alloc, new and copy give is the caller's own already.
//   ObjCPtr<MLState> state = ObjCPtr<MLState>::adopt([model.get() newState]);
//
// Thread rule: a value; the reference count itself is safe from any thread.

#import <Foundation/Foundation.h>

#include <utility>

namespace coreml_delegate::engine::coreml {

template <typename T>
class ObjCPtr {
 public:
  ObjCPtr() = default;
  // Takes over a reference that the caller owns.
  static ObjCPtr adopt(T* object) { return ObjCPtr(object); }
  // Adds a reference.
  static ObjCPtr retain(T* object) { return ObjCPtr([object retain]); }

  ObjCPtr(const ObjCPtr& other) : object_([other.object_ retain]) {}
  ObjCPtr(ObjCPtr&& other) noexcept : object_(std::exchange(other.object_, nil)) {}
  ObjCPtr& operator=(ObjCPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~ObjCPtr() { [object_ release]; }

  T* get() const { return object_; }
  explicit operator bool() const { return object_ != nil; }

 private:
  explicit ObjCPtr(T* object) : object_(object) {}
  T* object_ = nil;
};

}  // namespace coreml_delegate::engine::coreml

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_OBJC_PTR_H_
