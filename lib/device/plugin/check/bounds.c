// What oneDNN is given to compute stays within the memory that it asks for. Behind every block that it gets are marks;
// after convolutions with few and odd channels, with strides and with remainders, all have to be there. The values are
// small integers, so the results are exactly the sums that are written out here.

#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>

#include "../convolve.c"
#include "../products.c"
#include "../threads.c"

enum { BEHIND = 1024, MARK = 0x5a, BLOCKS = 1000 };

static struct {
  unsigned char *at;
  size_t size;
} blocks[BLOCKS];
static int taken; // since the convolution began

int posix_memalign(void **at, size_t alignment, size_t size) {
  unsigned char *block = memalign(alignment, size + BEHIND);
  if (!block || taken == BLOCKS) abort();
  memset(block + size, MARK, BEHIND);
  blocks[taken].at = block;
  blocks[taken++].size = size;
  *at = block;
  return 0;
}

extern void __libc_free(void *);

void free(void *block) {
  for (int i = 0; i < taken; i++)
    if (blocks[i].at == block) blocks[i--] = blocks[--taken];
  __libc_free(block);
}

static bool marked(void) {
  for (int i = 0; i < taken; i++)
    for (int k = 0; k < BEHIND; k++)
      if (blocks[i].at[blocks[i].size + (size_t)k] != MARK) {
        printf("%d bytes behind a block of %zu: ", k, blocks[i].size);
        return false;
      }
  return true;
}

static XLA_FFI_Error *no_thread(XLA_FFI_ThreadPool_Schedule_Args *args) { return (XLA_FFI_Error *)args; }

static void drop(XLA_FFI_Error_Destroy_Args *args) { (void)args; }

enum { IMAGES = 3, MOST = IMAGES * 9 * 9 * 20 }; // of values in an array

static float x[MOST], w[MOST], y[MOST], want[MOST];

// whole fills an array with small integers.
static void whole(float *values) {
  static unsigned random = 1;
  for (int i = 0; i < MOST; i++) {
    random = random * 1664525 + 1013904223;
    values[i] = (float)(random >> 29) - 3;
  }
}

// add adds up what a convolution is: every product of a pixel, a weight and a value of the result.
static void add(const struct plan *p) {
  int64_t padding = p->before[0], stride = p->stride[0];
  memset(want, 0, sizeof want);
  for (int64_t n = 0; n < IMAGES; n++)
    for (int64_t r = 0; r < p->y[2]; r++)
      for (int64_t c = 0; c < p->y[3]; c++)
        for (int64_t a = 0; a < p->w[2]; a++)
          for (int64_t b = 0; b < p->w[3]; b++) {
            int64_t row = r * stride + a - padding, column = c * stride + b - padding;
            if (row < 0 || row >= p->x[2] || column < 0 || column >= p->x[3]) continue;
            for (int64_t i = 0; i < p->x[1]; i++)
              for (int64_t o = 0; o < p->y[1]; o++) {
                int64_t at_x = n * p->x_strides[0] + row * p->x_strides[2] + column * p->x_strides[3] + i;
                int64_t at_w = a * p->w_strides[2] + b * p->w_strides[3] + i * p->w_strides[1] + o;
                int64_t at_y = n * p->y_strides[0] + r * p->y_strides[2] + c * p->y_strides[3] + o;
                if (p->kind == FORWARD) want[at_y] += x[at_x] * w[at_w];
                if (p->kind == BY_IMAGES) want[at_x] += y[at_y] * w[at_w];
                if (p->kind == BY_WEIGHTS) want[at_w] += x[at_x] * y[at_y];
              }
          }
}

// right computes a convolution, if it is one that is computed here, and tells whether it stayed within its memory and
// is what it should be.
static bool right(int64_t kind, int64_t side, int64_t channels, int64_t filters, int64_t kernel, int64_t stride) {
  int64_t padding = kernel / 2, out = (side + 2 * padding - kernel) / stride + 1;
  int64_t after = (out - 1) * stride + kernel - side - padding; // what is left over is cut off, as XLA has it
  if (kind == FORWARD) after = padding;
  const struct plan plan = {.kind = kind,
    .type = dnnl_f32,
    .x = {IMAGES, channels, side, side},
    .w = {filters, channels, kernel, kernel},
    .y = {IMAGES, filters, out, out},
    .x_strides = {side * side * channels, 1, side * channels, channels},
    .w_strides = {1, filters, kernel * channels * filters, channels * filters},
    .y_strides = {out * out * filters, 1, out * filters, filters},
    .stride = {stride, stride},
    .dilation = {1, 1},
    .before = {padding, padding},
    .after = {after, after}};
  if (!computable(&plan)) return true;
  taken = 0;
  whole(x);
  whole(w);
  whole(y);
  add(&plan);
  const XLA_FFI_Api api = {.XLA_FFI_ThreadPool_Schedule = no_thread, .XLA_FFI_Error_Destroy = drop};
  XLA_FFI_CallFrame call = {.api = &api};
  const struct convolution_arrays arrays = {.x = (char *)x, .w = (char *)w, .y = (char *)y};
  bool done = convolve(&plan, &arrays, &call), within = marked();
  const float *got = kind == FORWARD ? y : kind == BY_IMAGES ? x : w;
  int64_t values = kind == FORWARD     ? IMAGES * out * out * filters
                   : kind == BY_IMAGES ? IMAGES * side * side * channels
                                       : kernel * kernel * channels * filters;
  bool equal = !memcmp(got, want, (size_t)values * sizeof *got);
  for (int64_t i = 0; !equal && i < values && got[i] == want[i]; i++) equal = i + 1 == values; // but for -0
  if (done && within && equal) return true;
  printf("kind %ld, sides of %ld, %ld channels, %ld filters, kernels of %ld, stride %ld: done %d, equal %d\n", kind,
    side, channels, filters, kernel, stride, done, equal);
  return false;
}

int main(void) {
  static const int64_t CHANNELS[] = {1, 3, 5, 7, 8, 15, 16, 17}, FILTERS[] = {1, 8, 20};
  if (!open_engine()) return 2;
  bool all = true;
  for (int64_t kind = FORWARD; kind <= BY_WEIGHTS; kind++)
    for (int64_t side = 8; side <= 9; side++)
      for (int i = 0; i < 8; i++)
        for (int o = 0; o < 3; o++)
          for (int64_t kernel = 1; kernel <= 3; kernel += 2)
            for (int64_t stride = 1; stride <= 4; stride++)
              if (!right(kind, side, CHANNELS[i], FILTERS[o], kernel, stride)) all = false;
  fflush(stdout);
  _Exit(!all);
}
