#include "pool.h"

#include "lanes.h"

// view is what a window shows of an image: rows and columns from a first one up to an end.
struct view {
  const float *image;
  int64_t rows[2], columns[2];
  int64_t row, column; // how far apart they are in memory
};

// clip writes which rows or columns of x a window of y shows.
static void clip(const struct pooling *p, int axis, int64_t y, int64_t shown[2]) {
  shown[0] = y * p->stride[axis] - p->before[axis];
  shown[1] = shown[0] + p->window[axis];
  if (shown[0] < 0) shown[0] = 0;
  if (shown[1] > p->x[1 + axis]) shown[1] = p->x[1 + axis];
}

#define TARGET __attribute__((target("avx512f")))
#define LANES 16
#define NAME _avx512
#include "window.h"

#define TARGET __attribute__((target("avx2")))
#define LANES 8
#define NAME _avx2
#include "window.h"

#define TARGET
#define LANES 4
#define NAME _any
#include "window.h"

// functions are what is done in a window by this processor.
struct functions {
  void (*maxima)(const struct view *w, int64_t channels, float least, float *y);
  void (*gradient)(const struct view *w, int64_t channels, const float *pull, float *gradient);
};

static struct functions of_processor(void) {
  if (__builtin_cpu_supports("avx512f")) return (struct functions){maxima_in_avx512, gradient_in_avx512};
  if (__builtin_cpu_supports("avx2")) return (struct functions){maxima_in_avx2, gradient_in_avx2};
  return (struct functions){maxima_in_any, gradient_in_any};
}

static struct view view_of(const struct pooling *p, const float *image) {
  return (struct view){.image = image, .row = p->x[2] * p->x[3], .column = p->x[3]};
}

// maxima computes count rows of y, of all images' rows one after another, from the first on.
static void maxima(const struct pooling *p, const struct pooling_arrays *a, int64_t first, int64_t count) {
  const struct functions f = of_processor();
  for (int64_t row = first; row < first + count; row++) {
    struct view w = view_of(p, a->x + row / p->y[1] * p->x[1] * p->x[2] * p->x[3]);
    clip(p, 0, row % p->y[1], w.rows);
    for (int64_t column = 0; column < p->y[2]; column++) {
      clip(p, 1, column, w.columns);
      f.maxima(&w, p->x[3], *a->start, a->result + (row * p->y[2] + column) * p->y[3]);
    }
  }
}

// gradient computes the gradient with respect to x in an image.
static void gradient(const struct pooling *p, const struct pooling_arrays *a, int64_t image) {
  const struct functions f = of_processor();
  int64_t size = p->x[1] * p->x[2] * p->x[3];
  const float *pull = a->pull + image * p->y[1] * p->y[2] * p->y[3];
  float *result = a->result + image * size;
  float start = *a->start;
  struct view w = view_of(p, a->x + image * size);
  for (int64_t i = 0; i < size; i++) result[i] = start;
  for (int64_t row = 0; row < p->y[1]; row++) {
    clip(p, 0, row, w.rows);
    for (int64_t column = 0; column < p->y[2]; column++) {
      clip(p, 1, column, w.columns);
      f.gradient(&w, p->x[3], pull + (row * p->y[2] + column) * p->y[3], result);
    }
  }
}

// divided is a pooling in parts: of rows of y, or of images for the gradient, whose windows overlap.
struct divided {
  const struct pooling *p;
  const struct pooling_arrays *arrays;
  int64_t things;
  int parts;
};

static bool do_part(void *work, int part) {
  const struct divided *d = work;
  int64_t first, count = range(d->things, part, d->parts, &first);
  if (d->p->kind == MAXIMA) maxima(d->p, d->arrays, first, count);
  else
    for (int64_t image = first; image < first + count; image++) gradient(d->p, d->arrays, image);
  return true;
}

bool pool(const struct pooling *p, const struct pooling_arrays *arrays, XLA_FFI_CallFrame *call) {
  struct divided d = {.p = p, .arrays = arrays, .things = p->kind == MAXIMA ? p->y[0] * p->y[1] : p->x[0]};
  d.parts = parts_of(d.things);
  return each(call, d.parts, do_part, &d);
}
