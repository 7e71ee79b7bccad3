// libc++ has this since iOS 16.3.
#include <charconv>

char* write(char* begin, char* end, double value) { return std::to_chars(begin, end, value).ptr; }
