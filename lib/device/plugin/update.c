#include "update.h"

#include <math.h>

// Constants of Adam, as package train has them, and of batch norm's averages, as package nn.
static const float MEAN = 0.9f, TO_MEAN = 0.1f, VARIANCE = 0.999f, TO_VARIANCE = 0.001f, EPSILON = 1e-8f;
static const float OLD = 0.9f, NEW = 0.1f;

#ifdef __clang__ // which makes vectors of loops anyway
#define FAST
#else
#define FAST , optimize("O3", "no-math-errno", "no-trapping-math")
#endif

// Results and what they replace are at the same place or apart, so no number depends on the one before.
#define EACH(i, n) _Pragma("GCC ivdep") for (int64_t i = 0; i < (n); i++)

#define TARGET __attribute__((target("avx512f") FAST))
#define NAMED(function) function##_512
#define LESS(a, b, c) __builtin_fmaf(a, b, -(c))
#include "renewals.h"

#define TARGET __attribute__((target("avx2,fma") FAST))
#define NAMED(function) function##_256
#define LESS(a, b, c) __builtin_fmaf(a, b, -(c))
#include "renewals.h"

#define TARGET __attribute__((target("sse2") FAST))
#define NAMED(function) function##_any
#define LESS(a, b, c) ((a) * (b) - (c))
#include "renewals.h"

typedef void renewal(const struct update_arrays *a, int64_t n);

enum { KINDS = AVERAGE + 1 };

// renewal_here is the function for a kind, by this processor.
static renewal *renewal_here(int64_t kind) {
  static renewal *const FUNCTIONS[][KINDS] = {
    {descend_any, adam_any, decayed_any, average_any},
    {descend_256, adam_256, decayed_256, average_256},
    {descend_512, adam_512, decayed_512, average_512},
  };
  int width = __builtin_cpu_supports("avx512f")                                 ? 2
              : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1
                                                                                : 0;
  return FUNCTIONS[width][kind];
}

enum { SHARE = 1 << 16 }; // numbers for which it is worth to wake a thread

struct work {
  const struct update_arrays *arrays;
  renewal *renewal;
  int64_t size;
  int parts;
};

static bool renew_part(void *data, int part) {
  const struct work *w = data;
  struct update_arrays a = *w->arrays;
  int64_t first, n = range(w->size, part, w->parts, &first);
  a.value += first;
  a.given += first;
  a.result += first;
  for (int i = 0; i < 2; i++) {
    if (a.kept[i]) a.kept[i] += first;
    if (a.keep[i]) a.keep[i] += first;
  }
  w->renewal(&a, n);
  return true;
}

bool renew(const struct update *update, const struct update_arrays *arrays, XLA_FFI_CallFrame *call) {
  struct work work = {arrays, renewal_here(update->kind), update->size, parts_of(update->size / SHARE + 1)};
  return work.parts == 1 ? renew_part(&work, 0) : each(call, work.parts, renew_part, &work);
}
