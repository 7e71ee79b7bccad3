// LeakSanitizer reads this in programs it is part of; others never call it.
//
// OpenVINO 2026.4: a thread that executes on a stream leaves the stream's record of it behind, about a
// kilobyte for each thread, however often it executes.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:ov::threading::CPUStreamsExecutor\n";
}
