// tvOS has it not at all.
#include <spawn.h>

int prepare(posix_spawnattr_t* attributes) { return posix_spawnattr_init(attributes); }
