#include "products.h"

#include <string.h>

#include "oneapi/dnnl/dnnl.h"

// inside tells whether the window at a row (axis 2) or column (axis 3) of y is, at one of its places, inside of x, and
// where.
static bool inside(const struct plan *p, int axis, int64_t y, int64_t place, int64_t *x) {
  *x = y * p->stride[axis - 2] + place * p->dilation[axis - 2] - p->before[axis - 2];
  return *x >= 0 && *x < p->x[axis];
}

// pairs counts the pairs of a row or column of y and a place of the window that is inside of x.
static int64_t pairs(const struct plan *p, int axis) {
  int64_t n = 0, x;
  for (int64_t y = 0; y < p->y[axis]; y++)
    for (int64_t place = 0; place < p->w[axis]; place++) n += inside(p, axis, y, place, &x);
  return n;
}

enum { PIXELS = 4096 }; // most of a map, and places of a window, for which products are tried: they are for small maps

bool mostly_outside(const struct plan *p) {
  if (p->type != dnnl_f32) return false;
  if (p->x[2] * p->x[3] > PIXELS || p->w[2] * p->w[3] > PIXELS || p->y[2] * p->y[3] > PIXELS) return false;
  if (4 * pairs(p, 2) * pairs(p, 3) >= 3 * p->y[2] * p->y[3] * p->w[2] * p->w[3]) return false;
  return p->x[0] >= 16 && p->x[1] >= 64 && p->y[1] >= 64 && p->x_strides[1] == 1 && p->y_strides[1] == 1 &&
         p->w_strides[0] == 1 && p->w_strides[1] == p->w[0];
}

// product multiplies what a number of images, or of x's channels, have at a pixel with a place of the window, and adds
// that to the result if there is something to add to.
static bool product(const struct plan *p, int64_t count, float *x, float *w, float *y, bool adds) {
  float beta = adds ? 1 : 0;
  switch (p->kind) {
  case FORWARD:
    return !dnnl_sgemm(
      'N', 'N', count, p->y[1], p->x[1], 1, x, p->x_strides[0], w, p->w_strides[1], beta, y, p->y_strides[0]);
  case BY_IMAGES:
    return !dnnl_sgemm(
      'N', 'T', count, p->x[1], p->y[1], 1, y, p->y_strides[0], w, p->w_strides[1], beta, x, p->x_strides[0]);
  default:
    return !dnnl_sgemm(
      'T', 'N', count, p->y[1], p->x[0], 1, x, p->x_strides[0], y, p->y_strides[0], beta, w, p->w_strides[1]);
  }
}

// clear writes zeros to a pixel of a number of images, or to a number of channels of a place of the window.
static void clear(float *values, int64_t count, int64_t apart, int64_t size) {
  for (int64_t n = 0; n < count; n++) memset(values + n * apart, 0, (size_t)size * sizeof *values);
}

// result is an array that products are added up in: of x's or y's images, or of the channels that the weights have for
// x's.
struct result {
  float *values;
  const int64_t *sizes, *strides;
  int64_t apart, length; // of what an image has at a pixel, or a channel at a place of the window
};

// finish adds the bias to a part of the result of products, and puts 0 for what is negative if there is a ReLU.
static void finish(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts) {
  int64_t first, count = range(p->x[0], part, parts, &first), size = p->y[1] * p->y[2] * p->y[3];
  float *y = (float *)arrays->y + first * size, least = p->ending == BIAS_AND_RELU ? 0 : -__builtin_inff();
  for (int64_t i = 0; p->ending != NOTHING && i < count * size; i++) {
    y[i] += arrays->bias[i % p->y[1]];
    if (y[i] < least) y[i] = least;
  }
}

bool multiply(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts) {
  float *x = (float *)arrays->x, *w = (float *)arrays->w, *y = (float *)arrays->y;
  int64_t first, count = range(p->kind == BY_WEIGHTS ? p->x[1] : p->x[0], part, parts, &first);
  if (p->kind == BY_WEIGHTS) {
    x += first;
    w += first * p->w_strides[1];
  } else {
    x += first * p->x_strides[0];
    y += first * p->y_strides[0];
  }
  const struct result results[] = {
    [FORWARD] = {y, p->y, p->y_strides, p->y_strides[0], p->y[1]},
    [BY_IMAGES] = {x, p->x, p->x_strides, p->x_strides[0], p->x[1]},
    [BY_WEIGHTS] = {w, p->w, p->w_strides, p->w_strides[1], p->w[0]},
  };
  const struct result *result = results + p->kind;
  bool begun[PIXELS] = {false}; // by pixel, or place of the window, of the result: the first product overwrites it
  for (int64_t row = 0; row < p->y[2]; row++)
    for (int64_t column = 0; column < p->y[3]; column++)
      for (int64_t i = 0; i < p->w[2]; i++)
        for (int64_t j = 0; j < p->w[3]; j++) {
          int64_t r, s;
          if (!inside(p, 2, row, i, &r) || !inside(p, 3, column, j, &s)) continue;
          const int64_t places[] = {
            [FORWARD] = row * p->y[3] + column, [BY_IMAGES] = r * p->x[3] + s, [BY_WEIGHTS] = i * p->w[3] + j};
          bool *more = begun + places[p->kind];
          if (!product(p, count, x + r * p->x_strides[2] + s * p->x_strides[3],
                w + i * p->w_strides[2] + j * p->w_strides[3], y + row * p->y_strides[2] + column * p->y_strides[3],
                *more))
            return false;
          *more = true;
        }
  for (int64_t at = 0; at < result->sizes[2] * result->sizes[3]; at++) { // what no window touches
    int64_t row = at / result->sizes[3], column = at % result->sizes[3];
    float *values = result->values + row * result->strides[2] + column * result->strides[3];
    if (!begun[at]) clear(values, count, result->apart, result->length);
  }
  finish(p, arrays, part, parts);
  return true;
}
