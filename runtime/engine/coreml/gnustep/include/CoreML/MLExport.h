// What the other headers use of Apple's and the compiler's macros, and the root class of this
// framework's objects.

#import <Foundation/Foundation.h>

#ifndef API_AVAILABLE
#define API_AVAILABLE(...)
#endif
#ifndef NS_NOESCAPE
#define NS_NOESCAPE __attribute__((noescape))
#endif
#ifndef NS_UNAVAILABLE
#define NS_UNAVAILABLE __attribute__((unavailable))
#endif

// Every object of this framework is one: they are counted (testing_core_ml.h).
@interface CMLObject : NSObject
@end
