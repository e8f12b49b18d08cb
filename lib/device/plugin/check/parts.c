// A convolution that oneDNN computes for three images at once, but not for one alone, on as many processors as images:
// it is divided into fewer parts, and computed. The gradient and the weights are ones, so a value is how many windows
// see the pixel.

#define _GNU_SOURCE
#include <sched.h>

enum { IMAGES = 3, CHANNELS = 48, SIDE = 14, WINDOW = 6, PADDING = 2, OUT = SIDE + 2 * PADDING - WINDOW + 1 };

#undef CPU_COUNT
#define CPU_COUNT(cpus) IMAGES

#include "../convolve.c"
#include "../products.c"
#include "../threads.c"

static float x[IMAGES * SIDE * SIDE * CHANNELS], w[WINDOW * WINDOW * CHANNELS], y[IMAGES * OUT * OUT];

static XLA_FFI_Error *no_thread(XLA_FFI_ThreadPool_Schedule_Args *args) { return (XLA_FFI_Error *)args; }

static void drop(XLA_FFI_Error_Destroy_Args *args) { (void)args; }

// seen is how many of the windows along a side show a row or column.
static int seen(int place) {
  int count = 0;
  for (int i = 0; i < OUT; i++) count += place >= i - PADDING && place < i - PADDING + WINDOW;
  return count;
}

int main(void) {
  struct plan plan = {.kind = BY_IMAGES,
    .type = dnnl_f32,
    .x = {IMAGES, CHANNELS, SIDE, SIDE},
    .w = {1, CHANNELS, WINDOW, WINDOW},
    .y = {IMAGES, 1, OUT, OUT},
    .x_strides = {CHANNELS * SIDE * SIDE, 1, CHANNELS * SIDE, CHANNELS},
    .w_strides = {1, 1, WINDOW * CHANNELS, CHANNELS},
    .y_strides = {OUT * OUT, 1, OUT, 1},
    .stride = {1, 1},
    .dilation = {1, 1},
    .before = {PADDING, PADDING},
    .after = {PADDING, PADDING}};
  for (int i = 0; i < WINDOW * WINDOW * CHANNELS; i++) w[i] = 1;
  for (int i = 0; i < IMAGES * OUT * OUT; i++) y[i] = 1;
  if (!open_engine()) return 2;
  dnnl_primitive_desc_t alone = describe(&plan, 1);
  if (!computable(&plan) || alone) return 3; // what oneDNN has depends on the processor
  const XLA_FFI_Api api = {.XLA_FFI_ThreadPool_Schedule = no_thread, .XLA_FFI_Error_Destroy = drop};
  XLA_FFI_CallFrame call = {.api = &api};
  const struct convolution_arrays arrays = {.x = (char *)x, .w = (char *)w, .y = (char *)y};
  if (!convolve(&plan, &arrays, &call)) return 4;
  for (int i = 0; i < IMAGES * SIDE * SIDE * CHANNELS; i++)
    if (x[i] != (float)(seen(i / CHANNELS / SIDE % SIDE) * seen(i / CHANNELS % SIDE))) return 5;
  return 0;
}
