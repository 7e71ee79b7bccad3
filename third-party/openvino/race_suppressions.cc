// ThreadSanitizer reads this in programs it is part of; others never call it.
//
// OpenVINO and the TBB that it brings are not built for it: it sees neither what they synchronise
// by nor what they access, so that it reports their memory as racing. What it reports of code that
// they do not call is not theirs.
extern "C" const char* __tsan_default_suppressions() {
  return "race:libopenvino\n"
         "race:libtbb\n"
         "mutex:libopenvino\n"
         "deadlock:libopenvino\n"
         "thread:libtbb\n";
}
