// iOS 18 and macOS 15 brought it, and nothing asks for them.
#import <CoreML/CoreML.h>

NSObject* make(MLModel* model) { return [model newState]; }
