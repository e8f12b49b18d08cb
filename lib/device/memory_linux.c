// Large blocks of memory stay with the process.
//
// A call of a program takes memory for all that XLA computes on the way, hundreds of megabytes in a training step, and
// frees it at its end. The C library would return it to the system then, and to get it back page by page took a fifth
// of a step of ResNet-50 and a quarter of one of SmallGoogLeNet. The library can be told to keep it, but only in a heap
// that all threads share, and then the threads of XLA's compiler, which ask for many little blocks, wait for each
// other.
//
// So large blocks have a heap of their own here. XLA and oneDNN ask for them with posix_memalign, which this file
// defines, and with it what else has to know of such blocks: free, realloc, malloc_usable_size, malloc_trim and
// mallinfo2. A program's own definition goes before the C library's, for the shared libraries that it loads, too. What
// is not about a large block is passed on to the C library. The plugin calls malloc_trim when a compilation has ended
// and when a program is freed, to return memory that will not be needed again.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __GLIBC__

void *__libc_memalign(size_t alignment, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

enum { PAGE = 4096 };
static const size_t LARGE = 128 << 10; // bytes

// A block, or what is free between two. Together and in this order they are what was ever used of the room.
struct span {
  char *at;
  size_t size;
  bool taken;
  struct span *before, *after;
};

static pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER; // for the spans and taken
static char *room;                                       // NULL if there is none
static size_t addresses;                                 // in it, in bytes
static struct span *last;
static size_t taken; // bytes of large blocks

// This runs before there is a second thread. Free blocks of the wrong sizes may lie between those that are taken, so
// there are more addresses than memory. They cost nothing, unless they are limited, and then the C library has to do.
__attribute__((constructor)) static void make_room(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur != RLIM_INFINITY) return;
  addresses = (size_t)sysconf(_SC_PHYS_PAGES) * PAGE * 4;
  void *got = mmap(NULL, addresses, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got != MAP_FAILED) room = got;
}

static bool is_large(const void *block) { return room && (uintptr_t)block - (uintptr_t)room < addresses; }

// append puts a span behind another one, or is NULL.
static struct span *append(struct span *before, char *at, size_t size) {
  struct span *s = malloc(sizeof *s);
  if (!s) return NULL;
  *s = (struct span){at, size, false, before, before ? before->after : NULL};
  if (before) before->after = s;
  if (s->after) s->after->before = s;
  else last = s;
  return s;
}

static void remove_span(struct span *s) {
  if (s->before) s->before->after = s->after;
  if (s->after) s->after->before = s->before;
  else last = s->before;
  __libc_free(s);
}

// take is a block from the smallest free span that is large enough, or from the end of what was ever used.
static void *take(size_t size) {
  struct span *best = NULL;
  for (struct span *s = last; s; s = s->before)
    if (!s->taken && s->size >= size && (!best || s->size <= best->size)) best = s;
  if (!best && last && !last->taken) best = last; // grows
  char *end = last ? last->at + last->size : room;
  size_t missing = !best ? size : best->size < size ? size - best->size : 0;
  if (missing > addresses - (size_t)(end - room)) return NULL;
  if (missing && mprotect(end, missing, PROT_READ | PROT_WRITE)) return NULL; // as heaps grow, within their limits
  if (!best) best = append(last, end, size);
  else best->size += missing;
  if (!best) return NULL;
  if (best->size > size && append(best, best->at + size, best->size - size)) best->size = size;
  best->taken = true;
  taken += best->size;
  return best->at;
}

static struct span *span_of(const void *block) {
  struct span *s = last;
  while (s->at != block) s = s->before;
  return s;
}

static void give_back(void *block) {
  struct span *s = span_of(block);
  s->taken = false;
  taken -= s->size;
  if (s->after && !s->after->taken) {
    s->size += s->after->size;
    remove_span(s->after);
  }
  if (s->before && !s->before->taken) {
    s->before->size += s->size;
    remove_span(s);
  }
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) || alignment & (alignment - 1) || !alignment) return EINVAL;
  void *got = NULL;
  if (room && size >= LARGE && size < addresses && alignment <= PAGE) {
    pthread_mutex_lock(&mine);
    got = take((size + PAGE - 1) / PAGE * PAGE);
    pthread_mutex_unlock(&mine);
  }
  if (!got) got = __libc_memalign(alignment, size);
  if (!got) return ENOMEM;
  *block = got;
  return 0;
}

void free(void *block) {
  if (!is_large(block)) {
    __libc_free(block);
    return;
  }
  pthread_mutex_lock(&mine);
  give_back(block);
  pthread_mutex_unlock(&mine);
}

size_t malloc_usable_size(void *block) {
  if (!is_large(block)) return ((size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size"))(block);
  pthread_mutex_lock(&mine);
  size_t size = span_of(block)->size;
  pthread_mutex_unlock(&mine);
  return size;
}

void *realloc(void *block, size_t size) {
  if (!is_large(block)) return __libc_realloc(block, size);
  void *other = size ? malloc(size) : NULL;
  size_t old = malloc_usable_size(block);
  if (other) memcpy(other, block, old < size ? old : size);
  if (other || !size) free(block);
  return other;
}

// malloc_trim returns the memory of all that is free to the system.
int malloc_trim(size_t pad) {
  pthread_mutex_lock(&mine);
  for (struct span *s = last; s; s = s->before)
    if (!s->taken) madvise(s->at, s->size, MADV_DONTNEED);
  pthread_mutex_unlock(&mine);
  return ((int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim"))(pad);
}

// mallinfo2 counts large blocks in what is allocated.
struct mallinfo2 mallinfo2(void) {
  struct mallinfo2 info = ((struct mallinfo2 (*)(void))dlsym(RTLD_NEXT, "mallinfo2"))();
  pthread_mutex_lock(&mine);
  info.uordblks += taken;
  pthread_mutex_unlock(&mine);
  return info;
}
#endif
