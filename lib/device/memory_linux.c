// A call of a program takes memory for all that XLA computes on the way, hundreds of megabytes in a training step, and
// frees it at its end. The C library would return it to the system then, and to get it back page by page took a fifth
// of a step of ResNet-50 and a quarter of one of SmallGoogLeNet. So freed memory stays in the process, for the next
// call. The plugin returns what a compilation needed, and what the calls of a program did when that is freed.

#include <malloc.h>

#ifdef __GLIBC__
// This runs before Go starts a thread: a thread that has a heap of its own keeps it.
__attribute__((constructor)) static void keep_memory(void) {
  mallopt(M_ARENA_MAX, 1);       // one heap for all threads: others hold no large blocks
  mallopt(M_MMAP_MAX, 0);        // but this one does
  mallopt(M_TRIM_THRESHOLD, -1); // and does not shrink by itself
}
#endif
