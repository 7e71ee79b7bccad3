// Core ML has no such method.
#import <CoreML/CoreML.h>

NSObject* make(MLModel* model) { return [model newStateForFunction:@"main"]; }
