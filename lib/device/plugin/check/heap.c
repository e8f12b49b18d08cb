// The heap for large blocks: where blocks lie, by hand, and then threads that take and give back blocks of all sizes
// and find in each what they wrote.

#include "../../memory_linux.c"

#include <stdio.h>

#define CHECK(what)                                                                                                    \
  do {                                                                                                                 \
    if (!(what)) {                                                                                                     \
      printf("line %d: not so: %s\n", __LINE__, #what);                                                                \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

static const size_t MB = 1 << 20;

static char *block(size_t size) {
  void *got;
  CHECK(!posix_memalign(&got, 64, size));
  return got;
}

static void by_hand(void) {
  char *a = block(MB), *b = block(2 * MB), *c = block(MB);
  CHECK(is_large(a) && b == a + MB && c == b + 2 * MB);
  CHECK(malloc_usable_size(b) == 2 * MB && taken == 4 * MB);
  free(b);
  CHECK(block(3 * MB) == c + MB);      // no room for it between the others
  char *d = block(MB), *e = block(MB); // but for these
  CHECK(d == b && e == b + MB);
  d[7] = 7;
  free(a);
  free(d);
  CHECK(block(MB + 1) == a); // two free neighbours are one; of it are left 255 pages
  CHECK(block(MB - PAGE) == a + MB + PAGE);
  CHECK(a[MB + 7] == 7); // pages stay
  char *f = realloc(a, 5 * MB);
  CHECK(f[MB + 7] == 7 && !is_large(f)); // it was asked for as malloc is
  malloc_trim(0);
  CHECK(block(MB + 1) == a && a[MB + 7] == 0); // but not now

  void *got;
  CHECK(posix_memalign(&got, 24, MB) == EINVAL && posix_memalign(&got, 64, SIZE_MAX / 2) == ENOMEM);
  CHECK(!is_large(block(LARGE - 1)) && is_large(block(LARGE)));
  size_t before = mallinfo2().uordblks;
  char *g = block(3 * MB);
  CHECK((mallinfo2().uordblks - before) / PAGE == 3 * MB / PAGE); // and what the heap notes of it
  CHECK(!realloc(g, 0) && mallinfo2().uordblks < before + PAGE);
}

enum { BLOCKS = 40, ROUNDS = 4000, STEP = 999 };

struct held {
  unsigned char *at, mark;
  size_t size;
};

static void mark(struct held h) {
  for (size_t i = 0; i < h.size; i += STEP) h.at[i] = h.mark;
  h.at[h.size - 1] = h.mark;
}

static void look(struct held h, size_t size) {
  for (size_t i = 0; i < size; i += STEP) CHECK(h.at[i] == h.mark);
  CHECK(size < h.size || h.at[h.size - 1] == h.mark);
}

static void *at_random(void *seed) {
  unsigned random = (unsigned)(uintptr_t)seed;
  struct held held[BLOCKS] = {0};
  for (int i = 0; i < ROUNDS; i++) {
    struct held *h = held + rand_r(&random) % BLOCKS;
    size_t size = 1 + (size_t)rand_r(&random) % (size_t)(1 << rand_r(&random) % 22);
    if (h->at) look(*h, h->size);
    if (h->at && rand_r(&random) % 4 == 0) {
      h->at = realloc(h->at, size);
      CHECK(h->at);
      look(*h, size < h->size ? size / 2 : h->size);
    } else {
      void *got;
      free(h->at);
      CHECK(!posix_memalign(&got, (size_t)64 << rand_r(&random) % 7, size) && malloc_usable_size(got) >= size);
      h->at = got;
    }
    h->size = size;
    h->mark = (unsigned char)rand_r(&random);
    mark(*h);
    if (i % 512 == 0) malloc_trim(0);
  }
  for (int i = 0; i < BLOCKS; i++) free(held[i].at);
  return NULL;
}

int main(void) {
  by_hand();
  size_t before = taken;
  pthread_t threads[4];
  for (uintptr_t i = 0; i < 4; i++) CHECK(!pthread_create(threads + i, NULL, at_random, (void *)(i + 1)));
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(taken == before);
  for (struct span *s = last; s->before; s = s->before) // in order, without holes, and free neighbours are one
    CHECK(s->before->at + s->before->size == s->at && s->before->after == s && (s->taken || s->before->taken));
  return 0;
}
