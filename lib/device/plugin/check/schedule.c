// A convolution in four parts, in a call that XLA gives none of its threads to, or only some: it is computed all the
// same, by those there are, and the errors are dropped. The images and weights are ones, so a value is how many
// products it is the sum of.

#define _GNU_SOURCE
#include "../convolve.c"
#include "../products.c"
#include "../threads.c"

enum { PARTS = 4, CHANNELS = 64, SIDE = 7 };

static int willing, asked, dropped; // threads that XLA gives

static void *help(void *args) {
  XLA_FFI_ThreadPool_Schedule_Args *scheduled = args;
  scheduled->task(scheduled->data);
  free(scheduled);
  return NULL;
}

static XLA_FFI_Error *give_thread(XLA_FFI_ThreadPool_Schedule_Args *args) {
  if (asked++ == willing) return (XLA_FFI_Error *)&asked;
  XLA_FFI_ThreadPool_Schedule_Args *copy = malloc(sizeof *copy);
  *copy = *args;
  pthread_t thread;
  if (pthread_create(&thread, NULL, help, copy) || pthread_detach(thread)) abort();
  return NULL;
}

static void drop(XLA_FFI_Error_Destroy_Args *args) { dropped += args->error == (XLA_FFI_Error *)&asked; }

// ones is an array of ones.
static char *ones(size_t count) {
  float *values = malloc(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = 1;
  return (char *)values;
}

int main(void) {
  struct plan plan = {.kind = FORWARD,
    .type = dnnl_f32,
    .x = {2 * PARTS, CHANNELS, SIDE, SIDE},
    .w = {CHANNELS, CHANNELS, 3, 3},
    .y = {2 * PARTS, CHANNELS, SIDE, SIDE},
    .x_strides = {CHANNELS * SIDE * SIDE, 1, CHANNELS * SIDE, CHANNELS},
    .w_strides = {1, CHANNELS, 3 * CHANNELS * CHANNELS, CHANNELS * CHANNELS},
    .y_strides = {CHANNELS * SIDE * SIDE, 1, CHANNELS * SIDE, CHANNELS},
    .stride = {1, 1},
    .dilation = {1, 1},
    .before = {1, 1},
    .after = {1, 1}};
  if (!open_engine()) return 2;
  struct convolution *c = calloc(1, sizeof *c + PARTS * sizeof *c->part);
  c->plan = plan;
  c->parts = PARTS;
  if (!prepare(c)) return 3;
  size_t map = CHANNELS * SIDE * SIDE;
  c->arrays = (struct convolution_arrays){
    .x = ones(2 * PARTS * map), .w = ones(9 * CHANNELS * CHANNELS), .y = ones(2 * PARTS * map)};
  const XLA_FFI_Api api = {.XLA_FFI_ThreadPool_Schedule = give_thread, .XLA_FFI_Error_Destroy = drop};
  XLA_FFI_CallFrame call = {.api = &api};
  for (willing = 0; willing < PARTS; willing++) {
    const float *y = (const float *)c->arrays.y;
    memset(c->arrays.y, 0, 2 * PARTS * map * sizeof *y);
    asked = dropped = 0;
    if (!run(c, &call)) return 4;
    if (asked != (willing == PARTS - 1 ? willing : willing + 1) || dropped != asked - willing) return 5;
    for (size_t image = 0; image < 2 * PARTS; image++) // a corner, and a pixel with all of its neighbours
      if (y[image * map] != 4 * CHANNELS || y[image * map + (SIDE + 1) * CHANNELS] != 9 * CHANNELS) return 6;
  }
  return 0;
}
