#include "products.h"

#include <stdlib.h>
#include <string.h>

#include "oneapi/dnnl/dnnl.h"

// inside tells whether the window at a row (axis 2) or column (axis 3) of y is, at one of its places, inside of x, and
// where.
static bool inside(const struct plan *p, int axis, int64_t y, int64_t place, int64_t *x) {
  *x = y * p->stride[axis - 2] + place * p->dilation[axis - 2] - p->before[axis - 2];
  return *x >= 0 && *x < p->x[axis];
}

// dense tells whether images lie in memory as images usually do, one after another.
static bool dense(const int64_t sizes[4], const int64_t strides[4]) {
  return strides[1] == 1 && strides[3] == sizes[1] && strides[2] == sizes[3] * strides[3] &&
         strides[0] == sizes[2] * strides[2];
}

// pairs counts the pairs of a row or column of y and a place of the window that is inside of x.
static int64_t pairs(const struct plan *p, int axis) {
  int64_t n = 0, x;
  for (int64_t y = 0; y < p->y[axis]; y++)
    for (int64_t place = 0; place < p->w[axis]; place++) n += inside(p, axis, y, place, &x);
  return n;
}

enum { PIXELS = 4096 }; // most of a map, and places of a window, for which products are tried: they are for small maps

// mostly_outside tells whether a quarter or more of all windows lies outside of the map. oneDNN multiplies zeros there.
static bool mostly_outside(const struct plan *p) {
  if (p->x[2] * p->x[3] > PIXELS || p->w[2] * p->w[3] > PIXELS || p->y[2] * p->y[3] > PIXELS) return false;
  return 4 * pairs(p, 2) * pairs(p, 3) < 3 * p->y[2] * p->y[3] * p->w[2] * p->w[3];
}

bool as_products(const struct plan *p) {
  if (p->type != dnnl_f32 || !dense(p->x, p->x_strides) || !dense(p->y, p->y_strides)) return false;
  if (p->w_strides[0] != 1 || p->w_strides[1] != p->w[0]) return false;
  if (p->x[0] < 16 || p->x[1] < 64 || p->y[1] < 64) return false;
  bool wide = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
  return mostly_outside(p) || (p->kind == BY_WEIGHTS && !wide);
}

// product multiplies what a number of images have at a pixel with a place of the window, and adds that to the result if
// there is something to add to.
static bool product(const struct plan *p, int64_t images, float *x, float *w, float *y, bool adds) {
  float beta = adds ? 1 : 0;
  if (p->kind == FORWARD)
    return !dnnl_sgemm(
      'N', 'N', images, p->y[1], p->x[1], 1, x, p->x_strides[0], w, p->w_strides[1], beta, y, p->y_strides[0]);
  return !dnnl_sgemm(
    'N', 'T', images, p->x[1], p->y[1], 1, y, p->y_strides[0], w, p->w_strides[1], beta, x, p->x_strides[0]);
}

// finish adds the bias to a part of the result of products, and puts 0 for what is negative if there is a ReLU.
static void finish(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts) {
  int64_t first, count = range(p->x[0], part, parts, &first), size = p->y[1] * p->y[2] * p->y[3];
  float *y = (float *)arrays->y + first * size, least = p->ending == BIAS_AND_RELU ? 0 : -__builtin_inff();
  for (int64_t i = 0; p->ending != NOTHING && i < count * size; i++) {
    y[i] += arrays->bias[i % p->y[1]];
    if (y[i] < least) y[i] = least;
  }
}

// by_pixels does a part of the images: one product for each pair of a pixel and a place of the window.
static bool by_pixels(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts) {
  int64_t first, images = range(p->x[0], part, parts, &first);
  float *w = (float *)arrays->w;
  float *x = (float *)arrays->x + first * p->x_strides[0], *y = (float *)arrays->y + first * p->y_strides[0];
  bool forward = p->kind == FORWARD;
  float *result = forward ? y : x;
  const int64_t *sizes = forward ? p->y : p->x, *strides = forward ? p->y_strides : p->x_strides;
  bool begun[PIXELS] = {false}; // by pixel of the result: the first product overwrites it
  for (int64_t row = 0; row < p->y[2]; row++)
    for (int64_t column = 0; column < p->y[3]; column++)
      for (int64_t i = 0; i < p->w[2]; i++)
        for (int64_t j = 0; j < p->w[3]; j++) {
          int64_t r, s;
          if (!inside(p, 2, row, i, &r) || !inside(p, 3, column, j, &s)) continue;
          bool *more = begun + (forward ? row * p->y[3] + column : r * p->x[3] + s);
          if (!product(p, images, x + r * p->x_strides[2] + s * p->x_strides[3],
                w + i * p->w_strides[2] + j * p->w_strides[3], y + row * p->y_strides[2] + column * p->y_strides[3],
                *more))
            return false;
          *more = true;
        }
  for (int64_t pixel = 0; pixel < sizes[2] * sizes[3]; pixel++) // those that no window touches
    for (int64_t image = 0; !begun[pixel] && image < images; image++)
      memset(result + image * strides[0] + pixel * strides[3], 0, (size_t)sizes[1] * sizeof *result);
  finish(p, arrays, part, parts);
  return true;
}

// What is gathered at once, in pixels; from how many channels of y on it is faster to gather them, too; how many
// channels a thread has at least; and how large a gap is behind each pixel, which gives the next one another place in
// the processor's cache.
enum { AT_ONCE = 512, MANY = 256, NARROW = 16, GAP = 8 };

// block is the part of the weights whose gradient a thread computes: some of x's and some of y's channels.
struct block {
  int64_t x, y, x_count, y_count; // the first of them, and how many
  float *x_pixels, *y_pixels;     // room for what is gathered, or NULL where y is used as it lies in memory
  int64_t x_apart, y_apart;       // how far apart pixels are
};

// gather copies the pixels of x that a place of the window shows, for some rows of y, of all images' rows one after
// another, and tells how many they are. It copies y's, too, or else takes zeros for those that lie outside of x.
static int64_t gather(const struct plan *p, const struct convolution_arrays *arrays, const struct block *b, int64_t row,
  int64_t rows, int64_t i, int64_t j) {
  const size_t x_size = (size_t)b->x_count * sizeof(float), y_size = (size_t)b->y_count * sizeof(float);
  float *x_to = b->x_pixels, *y_to = b->y_pixels;
  for (int64_t end = row + rows; row < end; row++) {
    int64_t r, s;
    bool shown = inside(p, 2, row % p->y[2], i, &r);
    const float *x = (float *)arrays->x + row / p->y[2] * p->x_strides[0] + b->x;
    const float *y = (float *)arrays->y + row * p->y_strides[2] + b->y;
    for (int64_t column = 0; column < p->y[3]; column++) {
      bool counts = inside(p, 3, column, j, &s) && shown;
      if (!counts && y_to) continue;
      if (counts) memcpy(x_to, x + r * p->x_strides[2] + s * p->x_strides[3], x_size);
      else memset(x_to, 0, x_size);
      x_to += b->x_apart;
      if (!y_to) continue;
      memcpy(y_to, y + column * p->y_strides[3], y_size);
      y_to += b->y_apart;
    }
  }
  return (x_to - b->x_pixels) / b->x_apart;
}

// clear writes zeros to the gradient with respect to a block of the weights.
static void clear(const struct plan *p, const struct convolution_arrays *arrays, const struct block *b) {
  for (int64_t i = 0; i < p->w[2]; i++)
    for (int64_t j = 0; j < p->w[3]; j++)
      for (int64_t c = b->x; c < b->x + b->x_count; c++)
        memset((float *)arrays->w + i * p->w_strides[2] + j * p->w_strides[3] + c * p->w_strides[1] + b->y, 0,
          (size_t)b->y_count * sizeof(float));
}

// add_rows adds to the gradient with respect to a block of the weights what some rows of y give.
static bool add_rows(
  const struct plan *p, const struct convolution_arrays *arrays, const struct block *b, int64_t row, int64_t rows) {
  const float *y = b->y_pixels ? b->y_pixels : (float *)arrays->y + row * p->y_strides[2] + b->y;
  float *w = (float *)arrays->w + b->x * p->w_strides[1] + b->y;
  for (int64_t i = 0; i < p->w[2]; i++)
    for (int64_t j = 0; j < p->w[3]; j++) {
      int64_t pixels = gather(p, arrays, b, row, rows, i, j);
      if (dnnl_sgemm('T', 'N', b->x_count, b->y_count, pixels, 1, b->x_pixels, b->x_apart, y, b->y_apart, 1,
            w + i * p->w_strides[2] + j * p->w_strides[3], p->w_strides[1]))
        return false;
    }
  return true;
}

// divide finds the block of a part: the threads share the channels of which there are more, and if they are more than
// that allows, the others, too. It tells whether there is one.
static bool divide(const struct plan *p, int part, int parts, struct block *b) {
  bool of_x = p->x[1] >= p->y[1];
  int64_t most = (of_x ? p->x[1] : p->y[1]) / NARROW;
  int larger = most < parts ? (int)most : parts, smaller = parts / larger;
  if (part >= larger * smaller) return false;
  int x_parts = of_x ? larger : smaller, y_parts = of_x ? smaller : larger;
  b->x_count = range(p->x[1], part % x_parts, x_parts, &b->x);
  b->y_count = range(p->y[1], part / x_parts, y_parts, &b->y);
  return true;
}

// by_weights does a part of the gradient with respect to the weights: a product of many pixels for each place of the
// window.
static bool by_weights(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts) {
  struct block b;
  if (!divide(p, part, parts, &b)) return true;
  bool copies = p->y[1] >= MANY || mostly_outside(p);
  b.x_apart = b.x_count + GAP;
  b.y_apart = copies ? b.y_count + GAP : p->y_strides[3];
  int64_t all = p->y[0] * p->y[2], at_once = AT_ONCE / p->y[3] + 1, pixels = at_once * p->y[3];
  b.x_pixels = malloc((size_t)(pixels * (b.x_apart + (copies ? b.y_apart : 0))) * sizeof(float));
  b.y_pixels = copies ? b.x_pixels + pixels * b.x_apart : NULL;
  bool done = b.x_pixels;
  if (done) clear(p, arrays, &b);
  for (int64_t row = 0; done && row < all; row += at_once)
    done = add_rows(p, arrays, &b, row, row + at_once < all ? at_once : all - row);
  free(b.x_pixels);
  return done;
}

bool multiply(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts) {
  return (p->kind == BY_WEIGHTS ? by_weights : by_pixels)(p, arrays, part, parts);
}
