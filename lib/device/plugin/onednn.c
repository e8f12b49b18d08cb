// Convolutions by oneDNN in programs that XLA compiles for the CPU. XLA writes a convolution's patches into memory, or
// calls Eigen, which does; oneDNN keeps them in registers. `make setup` builds this library, and plugin.c, the plugin
// in front of XLA's, loads it, where oneDNN is: without either, XLA does all by itself.
//
// `rewrite` replaces the convolutions of a program (StableHLO as text, which go-xla writes and stablehlo.c reads) by
// calls of the handler below, which XLA's runtime makes through its foreign function interface. It does so, too, with
// maxima over windows and their gradients, which pool.c computes, and with calls of functions that package nn names for
// it: batch norms, which norm.c computes, and convolutions with a bias. Three of oneDNN's operations serve
// convolutions:
//
//	[b, 0, 1, f] images                              forward
//	[b, 0, 1, f] images and reversed weights         backward by the images
//	[f, 0, 1, b] images: the batch is summed over    backward by the weights
//
// Where most of a window lies outside of the map, as at the end of a deep network, a product of matrices for each pair
// of a pixel of the map and a place of the window is faster than any of them, as it multiplies no zeros.
//
// What oneDNN has no fast code for stays with XLA: other layouts, groups, and other types than float32 or, where the
// processor multiplies it, bfloat16. What cannot be read is an error: nobody would notice otherwise that all are slow.

#define _GNU_SOURCE
#include <omp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "norm.h"
#include "oneapi/dnnl/dnnl.h"
#include "pool.h"
#include "stablehlo.h"
#include "threads.h"

#pragma GCC diagnostic ignored "-Wstringop-overread" // oneDNN declares twelve axes where it reads as many as there are

enum { FORWARD, BY_IMAGES, BY_WEIGHTS };

// plan is all that there is to know about a convolution. A program carries it in each of its calls.
// Sizes and strides are in oneDNN's order: batch, channels, height, width; of the weights filters, channels, height,
// width.
struct plan {
  int64_t kind, type; // of all values: dnnl_f32 or dnnl_bf16
  int64_t x[4], w[4], y[4], x_strides[4], w_strides[4], y_strides[4];
  int64_t stride[2], dilation[2], before[2], after[2];
  int64_t ending; // of the way forward
};

enum { NOTHING, BIAS, BIAS_AND_RELU };

enum { PLAN = sizeof(struct plan) / sizeof(int64_t) }; // how many numbers it is

// part is what one thread does of a convolution: some images of the batch.
struct part {
  dnnl_primitive_t operation;
  dnnl_memory_t x, y, w, scratchpad; // w is shared, unless it is this part's share of a sum
  int64_t image;                     // its first
};

// convolution is a plan made ready. It has products, or operations and weights in the order that they want.
struct convolution {
  struct convolution *next;
  struct plan plan;
  pthread_mutex_t turn; // the memories below serve one call at a time
  bool products;
  char *arrays[4]; // a call's x, w, y, and bias, if it has one
  dnnl_primitive_t reorder, add;
  dnnl_memory_t w; // the weights as XLA reads or writes them
  dnnl_memory_t bias;
  int parts;
  struct part part[];
};

static dnnl_engine_t engine;
static struct convolution *ready; // all of this process, once made
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

// ARGUMENTS are oneDNN's names for x, w and y.
static const int ARGUMENTS[][3] = {
  [FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
  [BY_IMAGES] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
  [BY_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
};

// fast tells whether oneDNN has code of its own for what is described: gemm or the reference are slower than XLA.
static bool fast(const_dnnl_primitive_desc_t description) {
  const char *name = NULL;
  if (dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name)) return false;
  return strstr(name, "jit") || strstr(name, "brg");
}

// size_of is how many bytes a value has.
static int64_t size_of(const struct plan *p) { return p->type == dnnl_bf16 ? 2 : sizeof(float); }

// describe is oneDNN's description of a convolution of that many images, or NULL where it has none or a slow one.
static dnnl_primitive_desc_t describe(const struct plan *p, int64_t images) {
  omp_set_num_threads(1);                                      // of this thread: the others are XLA's
  dnnl_memory_desc_t x = NULL, w = NULL, y = NULL, sum = NULL; // sum: of the parts' gradients, not rounded
  dnnl_memory_desc_t bias = NULL;
  dnnl_post_ops_t relu = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t forward = NULL, made = NULL;
  const int64_t dilates[2] = {p->dilation[0] - 1, p->dilation[1] - 1};
  const int64_t x_sizes[4] = {images, p->x[1], p->x[2], p->x[3]}, y_sizes[4] = {images, p->y[1], p->y[2], p->y[3]};
  const dnnl_data_type_t type = (dnnl_data_type_t)p->type;
  if (!dnnl_primitive_attr_create(&attributes) &&
      !dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) &&
      !dnnl_memory_desc_create_with_strides(&x, 4, x_sizes, type, p->x_strides) &&
      !dnnl_memory_desc_create_with_tag(&w, 4, p->w, type, dnnl_format_tag_any) &&
      !dnnl_memory_desc_create_with_tag(&sum, 4, p->w, dnnl_f32, dnnl_format_tag_any) &&
      !dnnl_memory_desc_create_with_strides(&y, 4, y_sizes, type, p->y_strides) &&
      (p->ending == NOTHING || !dnnl_memory_desc_create_with_tag(&bias, 1, p->y + 1, dnnl_f32, dnnl_a)) &&
      (p->ending != BIAS_AND_RELU ||
        (!dnnl_post_ops_create(&relu) && !dnnl_post_ops_append_eltwise(relu, dnnl_eltwise_relu, 0, 0) &&
          !dnnl_primitive_attr_set_post_ops(attributes, relu))) &&
      !dnnl_convolution_forward_primitive_desc_create(&forward, engine, dnnl_forward_training, dnnl_convolution_direct,
        x, w, bias, y, p->stride, dilates, p->before, p->after, attributes)) {
    if (p->kind == FORWARD) made = forward;
    else if (p->kind == BY_IMAGES)
      dnnl_convolution_backward_data_primitive_desc_create(
        &made, engine, dnnl_convolution_direct, x, w, y, p->stride, dilates, p->before, p->after, forward, attributes);
    else
      dnnl_convolution_backward_weights_primitive_desc_create(&made, engine, dnnl_convolution_direct, x, sum, NULL, y,
        p->stride, dilates, p->before, p->after, forward, attributes);
  }
  if (made && !fast(made)) {
    if (made != forward) dnnl_primitive_desc_destroy(made);
    made = NULL;
  }
  if (forward && forward != made) dnnl_primitive_desc_destroy(forward);
  dnnl_memory_desc_destroy(x);
  dnnl_memory_desc_destroy(w);
  dnnl_memory_desc_destroy(y);
  dnnl_memory_desc_destroy(sum);
  dnnl_memory_desc_destroy(bias);
  dnnl_post_ops_destroy(relu);
  dnnl_primitive_attr_destroy(attributes);
  return made;
}

// ---- The handler

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

// mostly_outside tells whether products of matrices are faster than oneDNN's convolutions, which they are from a
// quarter of zeros on, if the matrices are large enough and lie as images and weights usually do.
static bool mostly_outside(const struct plan *p) {
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

// multiply does a part of a convolution by one product for each pair of a pixel of y and a place of the window inside
// of x. The parts are of the images, but those of the gradient by the weights are of x's channels. A value of the
// result is a sum of products: the first overwrites it.
static bool multiply(const struct plan *p, char *arrays[4], int part, int parts) {
  float *x = (float *)arrays[0], *w = (float *)arrays[1], *y = (float *)arrays[2];
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
  bool begun[PIXELS] = {false}; // by pixel, or place of the window, of the result
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
  return true;
}

// finish adds the bias to a part of the result of products, and puts 0 for what is negative if there is a ReLU.
static void finish(const struct plan *p, char *arrays[4], int part, int parts) {
  int64_t first, count = range(p->x[0], part, parts, &first), size = p->y[1] * p->y[2] * p->y[3];
  float *y = (float *)arrays[2] + first * size, least = p->ending == BIAS_AND_RELU ? 0 : -__builtin_inff();
  const float *bias = (const float *)arrays[3];
  for (int64_t i = 0; p->ending != NOTHING && i < count * size; i++) {
    y[i] += bias[i % p->y[1]];
    if (y[i] < least) y[i] = least;
  }
}

// reorder_of makes the operation that brings values from one order into another, and adds them there to what is there.
static dnnl_primitive_t reorder_of(const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to, bool adds) {
  dnnl_post_ops_t after = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t made = NULL;
  dnnl_primitive_t reorder = NULL;
  if (!dnnl_post_ops_create(&after) && (!adds || !dnnl_post_ops_append_sum(after, 1, 0, dnnl_data_type_undef)) &&
      !dnnl_primitive_attr_create(&attributes) && !dnnl_primitive_attr_set_post_ops(attributes, after) &&
      !dnnl_reorder_primitive_desc_create(&made, from, engine, to, engine, attributes))
    dnnl_primitive_create(&reorder, made);
  dnnl_primitive_desc_destroy(made);
  dnnl_primitive_attr_destroy(attributes);
  dnnl_post_ops_destroy(after);
  return reorder;
}

// memory_of makes a memory for an argument of an operation, with room of its own if it allocates.
static bool memory_of(dnnl_memory_t *memory, const_dnnl_primitive_desc_t description, int argument, bool allocates) {
  const_dnnl_memory_desc_t form = dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, argument);
  return !dnnl_memory_create(memory, form, engine, allocates ? DNNL_MEMORY_ALLOCATE : DNNL_MEMORY_NONE);
}

// prepare makes a plan ready for that many parts, or returns false. What it made then is lost: that is rare, and
// little.
static bool prepare(struct convolution *c) {
  const struct plan *p = &c->plan;
  const int *names = ARGUMENTS[p->kind];
  dnnl_memory_desc_t w = NULL;
  const_dnnl_memory_desc_t inner = NULL; // the weights' order in all parts
  if (dnnl_memory_desc_create_with_strides(&w, 4, p->w, (dnnl_data_type_t)p->type, p->w_strides)) return false;
  if (dnnl_memory_create(&c->w, w, engine, DNNL_MEMORY_NONE)) return false;
  dnnl_memory_desc_t bias = NULL;
  if (p->ending != NOTHING && (dnnl_memory_desc_create_with_tag(&bias, 1, p->y + 1, dnnl_f32, dnnl_a) ||
                                dnnl_memory_create(&c->bias, bias, engine, DNNL_MEMORY_NONE)))
    return false;
  dnnl_primitive_desc_t description = NULL;
  int larger = (int)(p->x[0] % c->parts); // parts with one image more
  for (int i = 0; i < c->parts; i++) {
    struct part *part = c->part + i;
    if (i == 0 || i == larger) { // another number of images than in the part before
      if (!(description = describe(p, p->x[0] / c->parts + (i < larger)))) return false;
      if (dnnl_primitive_create(&part->operation, description)) return false;
    } else {
      part->operation = part[-1].operation;
    }
    part->image = i * (p->x[0] / c->parts) + (i < larger ? i : larger);
    const_dnnl_memory_desc_t order = dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, names[1]);
    if (inner && !dnnl_memory_desc_equal(inner, order)) return false;
    inner = order;
    if (i && p->kind != BY_WEIGHTS) part->w = c->part->w;
    else if (!memory_of(&part->w, description, names[1], true)) return false;
    if (!memory_of(&part->x, description, names[0], false) || !memory_of(&part->y, description, names[2], false) ||
        !memory_of(&part->scratchpad, description, DNNL_ARG_SCRATCHPAD, true))
      return false;
  }
  c->reorder = p->kind == BY_WEIGHTS ? reorder_of(inner, w, false) : reorder_of(w, inner, false);
  if (p->kind == BY_WEIGHTS) c->add = reorder_of(inner, inner, true);
  return c->reorder && (c->add || p->kind != BY_WEIGHTS);
}

// make makes a plan ready, or returns NULL. It is not freed before the process ends: a program has some dozens.
static struct convolution *make(const struct plan *p) {
  int threads = thread_count();
  struct convolution *c = calloc(1, sizeof *c + (size_t)threads * sizeof *c->part);
  if (!c || pthread_mutex_init(&c->turn, NULL)) return NULL;
  c->plan = *p;
  c->products = mostly_outside(p);
  c->parts = c->products || threads < p->x[0] ? threads : (int)p->x[0];
  if (!c->products && !prepare(c)) { // parts of other sizes may want the weights in another order
    memset(c->part, 0, (size_t)threads * sizeof *c->part);
    while (p->x[0] % c->parts) c->parts--;
    if (!prepare(c)) return NULL;
  }
  c->next = ready;
  ready = c;
  return c;
}

// find is the plan made ready, or NULL.
static struct convolution *find(const struct plan *p) {
  pthread_mutex_lock(&making);
  struct convolution *c = ready;
  while (c && memcmp(&c->plan, p, sizeof *p)) c = c->next;
  if (!c) c = make(p);
  pthread_mutex_unlock(&making);
  return c;
}

static bool execute(dnnl_primitive_t operation, int n, const dnnl_exec_arg_t *arguments) {
  static _Thread_local dnnl_stream_t stream;
  if (!stream && dnnl_stream_create(&stream, engine, dnnl_stream_default_flags)) return false;
  return !dnnl_primitive_execute(operation, stream, n, arguments) && !dnnl_stream_wait(stream);
}

// compute does a part of a convolution.
static bool compute(void *work, int i) {
  struct convolution *c = work;
  struct part *part = c->part + i;
  const int *names = ARGUMENTS[c->plan.kind];
  omp_set_num_threads(1);
  if (c->products) {
    bool done = multiply(&c->plan, c->arrays, i, c->parts);
    finish(&c->plan, c->arrays, i, c->parts);
    return done;
  }
  return execute(part->operation, c->bias ? 5 : 4,
    (dnnl_exec_arg_t[]){{names[0], part->x}, {names[1], part->w}, {names[2], part->y},
      {DNNL_ARG_SCRATCHPAD, part->scratchpad}, {DNNL_ARG_BIAS, c->bias}});
}

static bool at(dnnl_memory_t memory, void *data) { return !dnnl_memory_set_data_handle(memory, data); }

// reorders brings the weights from the order of XLA's into the operation's, or back.
static bool reorders(dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to) {
  return execute(reorder, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

// ready_memories lets the memories of a convolution's parts be those of the call.
static bool ready_memories(struct convolution *c) {
  const struct plan *p = &c->plan;
  if (!at(c->w, c->arrays[1]) || (c->bias && !at(c->bias, c->arrays[3]))) return false;
  if (p->kind != BY_WEIGHTS && !reorders(c->reorder, c->w, c->part->w)) return false;
  for (struct part *part = c->part; part < c->part + c->parts; part++) {
    char *x = c->arrays[0] + part->image * p->x_strides[0] * size_of(p);
    char *y = c->arrays[2] + part->image * p->y_strides[0] * size_of(p);
    if (!at(part->x, x) || !at(part->y, y)) return false;
  }
  return true;
}

// run computes a convolution on the call's threads.
static bool run(struct convolution *c, XLA_FFI_CallFrame *call) {
  if (!c->products && !ready_memories(c)) return false;
  bool done = each(call, c->parts, compute, c);
  if (c->plan.kind != BY_WEIGHTS || c->products) return done;
  for (int i = 1; done && i < c->parts; i++) done = reorders(c->add, c->part[i].w, c->part->w);
  return done && reorders(c->reorder, c->part->w, c->w);
}

static XLA_FFI_Error *failure(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error_Create_Args error = {.struct_size = sizeof error,
    .code = XLA_FFI_Error_Code_INTERNAL,
    .message = "a convolution, pooling or batch norm failed: set CONVBOOK_ONEDNN=off to compute without oneDNN"};
  return call->api->XLA_FFI_Error_Create(&error);
}

// introduce answers XLA, which asks, as it registers the handler, for which of its versions that is made.
static XLA_FFI_Error *introduce(XLA_FFI_CallFrame *call, XLA_FFI_Metadata_Extension *extension) {
  XLA_FFI_Api_Version *version = &extension->metadata->api_version;
  version->major_version = XLA_FFI_API_MAJOR;
  version->minor_version = XLA_FFI_API_MINOR;
  return call->api->struct_size < sizeof *call->api ? failure(call) : NULL; // then it is not used
}

// introduces tells whether a call is XLA's question, and answers it.
static bool introduces(XLA_FFI_CallFrame *call, XLA_FFI_Error **answer) {
  XLA_FFI_Extension_Base *extension = call->extension_start;
  if (!extension || extension->type != XLA_FFI_Extension_Metadata) return false;
  *answer = introduce(call, (XLA_FFI_Metadata_Extension *)extension);
  return true;
}

// plan_in is the plan of a call with that many arguments and results, or NULL if it is not of that size.
static const void *plan_in(XLA_FFI_CallFrame *call, size_t size, int64_t arguments, int64_t results) {
  XLA_FFI_Array *plan = call->attrs.size == 1 ? call->attrs.attrs[0] : NULL;
  return plan && plan->size == size && call->args.size == arguments && call->rets.size == results ? plan->data : NULL;
}

static void *argument(XLA_FFI_CallFrame *call, int i) { return ((XLA_FFI_Buffer *)call->args.values[i])->data; }

static void *result(XLA_FFI_CallFrame *call, int i) { return ((XLA_FFI_Buffer *)call->rets.values[i])->data; }

static XLA_FFI_Error *norm_handler(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error *answer;
  if (introduces(call, &answer)) return answer;
  bool backwards = call->args.size == 8;
  const struct norm *norm = plan_in(call, NORM, backwards ? 8 : 5, 3);
  if (!norm || (norm->kind == BACKWARDS) != backwards) return failure(call);
  int scale = backwards ? 2 : 1, share = backwards ? 6 : 3; // where they are among the arguments
  struct norm_arrays arrays = {.x = argument(call, 0),
    .scale = argument(call, scale),
    .shift = argument(call, scale + 1),
    .share = argument(call, share),
    .epsilon = argument(call, share + 1),
    .result = result(call, 0)};
  if (backwards) {
    arrays.pull = argument(call, 1);
    arrays.mean = argument(call, 4);
    arrays.variance = argument(call, 5);
    arrays.by_scale = result(call, 1);
    arrays.by_shift = result(call, 2);
  } else {
    arrays.mean = result(call, 1);
    arrays.variance = result(call, 2);
  }
  return normalize(norm, &arrays, call) ? NULL : failure(call);
}

static XLA_FFI_Error *pooling_handler(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error *answer;
  if (introduces(call, &answer)) return answer;
  bool gradient = call->args.size == 3;
  const struct pooling *p = plan_in(call, POOLING, gradient ? 3 : 2, 1);
  if (!p || (p->kind == GRADIENT) != gradient) return failure(call);
  struct pooling_arrays arrays = {.x = argument(call, 0),
    .pull = gradient ? argument(call, 1) : NULL,
    .start = argument(call, gradient ? 2 : 1),
    .result = result(call, 0)};
  return pool(p, &arrays, call) ? NULL : failure(call);
}

static XLA_FFI_Error *handler(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error *answer;
  if (introduces(call, &answer)) return answer;
  bool biased = call->args.size == 3;
  const struct plan *plan = plan_in(call, PLAN, biased ? 3 : 2, 1);
  if (!plan || (plan->ending != NOTHING) != biased) return failure(call);
  struct convolution *c = find(plan);
  if (!c) return failure(call);
  static const int PLACES[][3] = {[FORWARD] = {0, 1, 2}, [BY_IMAGES] = {2, 1, 0}, [BY_WEIGHTS] = {0, 2, 1}};
  char *given[] = {argument(call, 0), argument(call, 1), result(call, 0)};
  pthread_mutex_lock(&c->turn);
  for (int i = 0; i < 3; i++) c->arrays[i] = given[PLACES[c->plan.kind][i]];
  c->arrays[3] = biased ? argument(call, 2) : NULL;
  bool done = run(c, call);
  pthread_mutex_unlock(&c->turn);
  return done ? NULL : failure(call);
}

// ---- Rewriting

// window is what a convolution's attributes say.
struct window {
  int64_t stride[2], input[2], kernel[2], padding[4], groups, batches; // input and kernel: how far apart they are drawn
  bool reversal[2];
  struct axes axes[3];
};

static bool read_attribute(const struct attribute *a, struct window *w) {
  if (is(a->name, "window_strides")) return read_integers(a->value, w->stride, 2) == 2;
  if (is(a->name, "lhs_dilation")) return read_integers(a->value, w->input, 2) == 2;
  if (is(a->name, "rhs_dilation")) return read_integers(a->value, w->kernel, 2) == 2;
  if (is(a->name, "padding")) return read_tensor(a->value, w->padding, 4);
  if (is(a->name, "window_reversal")) return read_bools(a->value, w->reversal, 2);
  if (is(a->name, "feature_group_count")) return read_integer(a->value, &w->groups);
  if (is(a->name, "batch_group_count")) return read_integer(a->value, &w->batches);
  if (is(a->name, "dimension_numbers")) return read_axes(a->value, w->axes);
  return is(a->name, "precision_config"); // oneDNN computes in float32, which is the highest
}

static struct span text_of(const char *text) { return (struct span){text, strlen(text)}; }

// read_window reads a convolution's attributes. It returns what it cannot read, or misses, or nothing.
static struct span read_window(const struct operation *o, struct window *w) {
  *w = (struct window){.stride = {1, 1}, .input = {1, 1}, .kernel = {1, 1}}; // unless it is written
  for (int i = 0; i < o->attribute_count; i++)
    if (!read_attribute(o->attributes + i, w)) return o->attributes[i].name;
  if (!w->groups) return text_of("feature_group_count");
  if (!w->batches) return text_of("batch_group_count");
  if (!w->axes[0].count) return text_of("dimension_numbers");
  return text_of("");
}

// order tells where each of four axes is.
static bool order(struct axes axes, const char *names, int at[4]) {
  for (int i = 0; i < 4; i++) {
    const char *found = axes.count == 4 ? memchr(axes.names, names[i], 4) : NULL;
    if (!found) return false;
    at[i] = (int)(found - axes.names);
  }
  return true;
}

// shape is the sizes of an array in the order in which its axes are written, and where each axis of oneDNN's is.
struct shape {
  const int64_t *sizes;
  int at[4];
};

// arrange gives sizes, and the distances of their values in memory, in oneDNN's order.
static void arrange(struct shape s, int64_t sorted[4], int64_t strides[4]) {
  int64_t distance[4] = {0, 0, 0, 1};
  for (int i = 2; i >= 0; i--) distance[i] = distance[i + 1] * s.sizes[i + 1];
  for (int i = 0; i < 4; i++) {
    sorted[i] = s.sizes[s.at[i]];
    strides[i] = distance[s.at[i]];
  }
}

static struct shape swapped(struct shape s) { return (struct shape){s.sizes, {s.at[1], s.at[0], s.at[2], s.at[3]}}; }

// fits tells whether a window with its places that far apart has that many places on a map: what XLA makes sure of in a
// convolution, but not in a call.
static bool fits(
  int64_t map, int64_t between, const int64_t around[2], int64_t places, int64_t apart, int64_t stride, int64_t out) {
  int64_t room = (map - 1) * between + around[0] + around[1] - (places - 1) * apart;
  return between > 0 && apart > 0 && stride > 0 && room >= 0 && room / stride + 1 == out;
}

// moderate tells whether no number is so large that a product of two could overflow.
static bool moderate(const int64_t *numbers, int count) {
  for (int i = 0; i < count; i++)
    if (numbers[i] < -LARGE || numbers[i] > LARGE) return false;
  return true;
}

// possible tells whether an array has less than 2^48 values, and is not empty.
static bool possible(const int64_t sizes[4]) {
  int64_t most = INT64_C(1) << 48;
  for (int i = 0; i < 4; i++) {
    if (sizes[i] < 1 || sizes[i] > LARGE || sizes[i] > most) return false;
    most /= sizes[i];
  }
  return true;
}

// consistent tells whether sizes and window agree, and are such that nothing overflows.
static bool consistent(const struct window *w, struct shape first, struct shape second, struct shape result) {
  if (!possible(first.sizes) || !possible(second.sizes) || !possible(result.sizes)) return false;
  if (!moderate(w->stride, 2) || !moderate(w->input, 2) || !moderate(w->kernel, 2) || !moderate(w->padding, 4))
    return false;
  int64_t x[4], k[4], y[4], strides[4]; // the last are of no use
  arrange(first, x, strides);
  arrange(second, k, strides);
  arrange(result, y, strides);
  for (int i = 0; i < 2; i++)
    if (!fits(x[2 + i], w->input[i], w->padding + 2 * i, k[2 + i], w->kernel[i], w->stride[i], y[2 + i])) return false;
  return x[0] == y[0] && x[1] == k[1] && k[0] == y[1];
}

// plan_of makes a plan of a convolution and tells whether oneDNN has it. Its weights are as they are, or those of a
// layer, reversed in height and width.
static bool plan_of(
  const struct window *w, struct shape first, struct shape second, struct shape result, bool reversed, struct plan *p) {
  if (w->groups != 1 || w->batches != 1 || w->reversal[0] || w->reversal[1]) return false;
  if (!consistent(w, first, second, result)) return false;
  bool batch_last = first.at[0] == 3 && first.at[1] == 0, channels_last = first.at[0] == 0 && first.at[1] == 3;
  if (!batch_last && !channels_last) return false;
  p->kind = batch_last ? BY_WEIGHTS : reversed ? BY_IMAGES : FORWARD;
  if (p->kind == BY_IMAGES && (w->stride[0] != 1 || w->stride[1] != 1)) return false;
  if (p->kind != BY_IMAGES && (w->input[0] != 1 || w->input[1] != 1)) return false;
  const int64_t *stride = w->stride, *dilation = w->kernel;
  for (int i = 0; i < 2; i++) {
    p->before[i] = w->padding[2 * i];
    p->after[i] = w->padding[2 * i + 1];
  }
  switch (p->kind) {
  case FORWARD:
    arrange(first, p->x, p->x_strides);
    arrange(second, p->w, p->w_strides);
    arrange(result, p->y, p->y_strides);
    break;
  case BY_IMAGES: // the filters are what XLA sums over, and the padding is what it adds around y
    arrange(result, p->x, p->x_strides);
    arrange(swapped(second), p->w, p->w_strides);
    arrange(first, p->y, p->y_strides);
    stride = w->input;
    for (int i = 0; i < 2; i++) {
      int64_t window = (p->w[2 + i] - 1) * dilation[i];
      p->before[i] = window - p->before[i];
      p->after[i] = (p->y[2 + i] - 1) * stride[i] + window + 1 - p->x[2 + i] - p->before[i];
    }
    break;
  case BY_WEIGHTS: // XLA sums over the images: its f of the first and i of the second
    arrange(swapped(first), p->x, p->x_strides);
    arrange(swapped(result), p->w, p->w_strides);
    arrange(swapped(second), p->y, p->y_strides);
    stride = w->kernel;
    dilation = w->stride;
  }
  memcpy(p->stride, stride, sizeof p->stride);
  memcpy(p->dilation, dilation, sizeof p->dilation);
  if (mostly_outside(p)) return true;
  dnnl_primitive_desc_t description = describe(p, p->x[0]);
  if (!description) return false;
  dnnl_primitive_desc_destroy(description);
  return true;
}

// multiplies_bf16 tells whether the processor does; elsewhere oneDNN spends its time on making float32 of it.
static bool multiplies_bf16(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

enum verdict { HANDED, LEFT, UNREADABLE }; // to oneDNN, to XLA, and an error

// judge reads a convolution and makes a plan of it. What it cannot read goes to problem.
static enum verdict judge(const struct operation *o, bool reversed, struct plan *p, struct span *problem) {
  *problem = text_of("its operands");
  if (o->operand_count != 2 || o->result_count != 1) return UNREADABLE;
  const struct span texts[] = {o->types[0], o->types[1], o->results[0]};
  struct tensor_type types[3];
  for (int i = 0; i < 3; i++) {
    *problem = texts[i];
    if (!read_type(texts[i], types + i)) return UNREADABLE;
  }
  p->type = is(types[0].element, "bf16") && multiplies_bf16() ? dnnl_bf16 : dnnl_f32;
  for (int i = 0; i < 3; i++)
    if (types[i].rank != 4 || !is(types[i].element, p->type == dnnl_bf16 ? "bf16" : "f32")) return LEFT;
  for (int i = 0; i < o->attribute_count; i++) // a name with a point is another dialect's, such as a distribution's
    if (memchr(o->attributes[i].name.at, '.', o->attributes[i].name.size)) return LEFT;
  struct window window;
  *problem = read_window(o, &window);
  if (problem->size) return UNREADABLE;
  static const char *const NAMES[] = {"bf01", "oi01", "bf01"};
  struct shape shapes[3];
  for (int i = 0; i < 3; i++) {
    shapes[i].sizes = types[i].sizes;
    *problem = text_of("dimension_numbers");
    if (!order(window.axes[i], NAMES[i], shapes[i].at)) return UNREADABLE;
  }
  return plan_of(&window, shapes[0], shapes[1], shapes[2], reversed, p) ? HANDED : LEFT;
}

// rewriting is a program on its way to another one.
struct rewriting {
  struct reader reader;
  const char *program, *copied; // up to where it is written
  FILE *out;
  struct span result;         // the value that the next operation gives
  const char *list;           // where a list of values began that may be results, or NULL
  struct reversed *reversals; // those of the function so far
  int reversal_count;
  int handed; // operations
  char *problem;
};

// reversed is a value that is another one, reversed in height and width.
struct reversed {
  struct span result, of;
};

// The names of the handlers.
static const char CONVOLUTION[] = "convbook.convolution", POOL[] = "convbook.pooling",
                  NORMALIZATION[] = "convbook.norm";

enum { SHOWN = 100 }; // most of a program's text in a message

// fail notes what cannot be read, in one line.
static void fail(struct rewriting *w, const char *operation, struct span what) {
  if (w->problem) return;
  int line = 1;
  for (const char *at = w->program; at < w->reader.token.text.at; at++) line += *at == '\n';
  int name = w->result.size < SHOWN ? (int)w->result.size : SHOWN, text = what.size < SHOWN ? (int)what.size : SHOWN;
  if (asprintf(&w->problem,
        "cannot read the %s in line %d of the program (%.*s): %.*s: "
        "set CONVBOOK_ONEDNN=off to compute without oneDNN, which is slower",
        operation, line, name, w->result.at, text, what.at) < 0)
    abort();
  for (char *at = w->problem; *at; at++)
    if (*at == '\n' || *at == '\r') *at = ' ';
}

static const struct reversed *reversal(const struct rewriting *w, struct span value) {
  for (int i = 0; i < w->reversal_count; i++)
    if (same(w->reversals[i].result, value)) return w->reversals + i;
  return NULL;
}

// forget drops what is known of a value, which is defined anew.
static void forget(struct rewriting *w, struct span value) {
  const struct reversed *known = reversal(w, value);
  if (known) w->reversals[known - w->reversals] = w->reversals[--w->reversal_count];
}

// forget_list forgets the values of a list that ends before the next token: results of an operation.
static void forget_list(struct rewriting *w) {
  struct reader results = reader_of((struct span){w->list, (size_t)(w->reader.token.text.at - w->list)});
  for (; results.token.kind != END; advance(&results))
    if (results.token.kind == VALUE) forget(w, results.token.text);
}

// follow keeps the books of which names are given anew: to %a, %b = results, and to (%c: type) arguments of a block.
static void follow(struct rewriting *w) {
  const struct token *next = &w->reader.token, *before = &w->reader.before;
  bool count = next->kind == WORD && before->kind == ':'; // in %a:2 =
  if (next->kind == VALUE) {
    w->result = next->text;
    if (before->kind != ',' || !w->list) w->list = next->text.at;
    return;
  }
  if (next->kind == ':' && before->kind == VALUE) forget(w, before->text);
  if (next->kind == '=' && w->list) forget_list(w);
  if (next->kind != ',' && next->kind != ':' && !count) w->list = NULL;
}

// note_reversal notes what a value is the reverse of, if it is that in height and width.
static void note_reversal(struct rewriting *w) {
  struct reader ahead = w->reader;
  struct operation o;
  const char *problem = read_operation(&ahead, &o);
  int64_t axes[2];
  int count = problem ? -1 : read_integers(value_of(&o, "dimensions"), axes, 2);
  if (count < 0 || o.operand_count != 1) fail(w, "reversal", text_of(problem ? problem : "dimensions"));
  if (count != 2 || axes[0] + axes[1] != 1 || axes[0] * axes[1] != 0) return;
  w->reversals = realloc(w->reversals, (size_t)(w->reversal_count + 1) * sizeof *w->reversals);
  if (!w->reversals) abort();
  w->reversals[w->reversal_count++] = (struct reversed){w->result, o.operands[0]};
}

// write_layouts writes the order of arrays' axes in memory: as they are named.
static void write_layouts(FILE *out, const struct span *types, int count) {
  for (int t = 0; t < count; t++) {
    struct tensor_type type = {.rank = 0};
    read_type(types[t], &type);
    fputs(t ? ", dense<[" : "dense<[", out);
    for (int i = type.rank - 1; i >= 0; i--) fprintf(out, i ? "%d, " : "%d", i);
    fprintf(out, "]> : tensor<%dxindex>", type.rank);
  }
}

// write_call writes the program up to an operation, and a call in its place that has its types, and the plan.
static void write_call(struct rewriting *w, const struct operation *o, const char *target, const void *plan, int size) {
  fwrite(w->copied, 1, (size_t)(o->name.at - w->copied), w->out);
  fputs("\"stablehlo.custom_call\"(", w->out);
  for (int i = 0; i < o->operand_count; i++)
    fprintf(w->out, "%s%.*s", i ? ", " : "", (int)o->operands[i].size, o->operands[i].at);
  fprintf(w->out, ") {\napi_version = 4 : i32, call_target_name = \"%s\", has_side_effect = false, ", target);
  fputs("backend_config = {plan = array<i64", w->out);
  for (int i = 0; i < size; i++) fprintf(w->out, "%s %jd", i ? "," : ":", (intmax_t)((const int64_t *)plan)[i]);
  fputs(">}, operand_layouts = [", w->out);
  write_layouts(w->out, o->types, o->type_count);
  fputs("], result_layouts = [", w->out);
  write_layouts(w->out, o->results, o->result_count);
  fputs("]\n}", w->out);
  w->copied = o->behind;
  w->handed++;
}

static void hand_over(struct rewriting *w) {
  struct reader ahead = w->reader;
  struct operation o;
  const char *unread = read_operation(&ahead, &o);
  if (unread) {
    fail(w, "convolution", text_of(unread));
    return;
  }
  const struct reversed *weights = reversal(w, o.operands[1]);
  struct plan plan = {.ending = NOTHING};
  struct span problem;
  switch (judge(&o, weights != NULL, &plan, &problem)) {
  case UNREADABLE:
    fail(w, "convolution", problem);
    break;
  case LEFT:
    break;
  case HANDED:
    if (plan.kind == BY_IMAGES) o.operands[1] = weights->of;
    write_call(w, &o, CONVOLUTION, &plan, PLAN);
  }
}

// pool_window is what the attributes of a pooling say of its axes.
struct pool_window {
  int64_t sizes[4], strides[4], base[4], dilations[4], padding[8];
};

static bool read_pool_attribute(const struct attribute *a, struct pool_window *w) {
  if (is(a->name, "window_dimensions")) return read_integers(a->value, w->sizes, 4) == 4;
  if (is(a->name, "window_strides")) return read_integers(a->value, w->strides, 4) == 4;
  if (is(a->name, "base_dilations")) return read_integers(a->value, w->base, 4) == 4;
  if (is(a->name, "window_dilations")) return read_integers(a->value, w->dilations, 4) == 4;
  return is(a->name, "padding") && read_tensor(a->value, w->padding, 8);
}

// pooling_of makes a plan of windows over the second and third of four axes, and tells whether that is what they are.
static bool pooling_of(const struct pool_window *w, const int64_t x[4], const int64_t y[4], struct pooling *p) {
  if (!possible(x) || !possible(y) || x[0] != y[0] || x[3] != y[3]) return false;
  if (!moderate(w->sizes, 4) || !moderate(w->strides, 4) || !moderate(w->padding, 8)) return false;
  for (int i = 0; i < 4; i++) {
    if (w->base[i] != 1 || w->dilations[i] != 1) return false;
    bool slides = i == 1 || i == 2;
    if (!slides && (w->sizes[i] != 1 || w->strides[i] != 1 || w->padding[2 * i] || w->padding[2 * i + 1])) return false;
    if (slides && (w->sizes[i] < 1 || !fits(x[i], 1, w->padding + 2 * i, w->sizes[i], 1, w->strides[i], y[i])))
      return false;
  }
  memcpy(p->x, x, sizeof p->x);
  memcpy(p->y, y, sizeof p->y);
  for (int i = 0; i < 2; i++) {
    p->window[i] = w->sizes[1 + i];
    p->stride[i] = w->strides[1 + i];
    p->before[i] = w->padding[2 * (1 + i)];
  }
  return true;
}

// judge_pooling reads a pooling, whose images are its first operand, and makes a plan of it. What it cannot read goes
// to problem.
static enum verdict judge_pooling(const struct operation *o, struct pooling *p, struct span *problem) {
  static const int RANKS[] = {[MAXIMA] = 2, [GRADIENT] = 3}; // as many operands, the last of which is a number
  *problem = text_of("its operands");
  if (o->operand_count != RANKS[p->kind]) return LEFT; // several arrays at once
  const struct span other = p->kind == MAXIMA ? o->results[0] : o->types[1];
  const struct span texts[] = {o->types[0], other, o->types[o->operand_count - 1]};
  struct tensor_type types[3];
  for (int i = 0; i < 3; i++) {
    *problem = texts[i];
    if (!read_type(texts[i], types + i)) return UNREADABLE;
    if (types[i].rank != (i == 2 ? 0 : 4) || !is(types[i].element, "f32")) return LEFT;
  }
  struct pool_window window = {
    .strides = {1, 1, 1, 1}, .base = {1, 1, 1, 1}, .dilations = {1, 1, 1, 1}}; // unless it is written
  for (int i = 0; i < o->attribute_count; i++) {
    *problem = o->attributes[i].name;
    if (memchr(problem->at, '.', problem->size)) return LEFT; // another dialect's, such as a distribution's
    if (!read_pool_attribute(o->attributes + i, &window)) return UNREADABLE;
  }
  *problem = text_of("window_dimensions");
  if (!window.sizes[0]) return UNREADABLE;
  return pooling_of(&window, types[0].sizes, types[1].sizes, p) ? HANDED : LEFT;
}

// hand_over_pooling hands over a pooling by the largest value.
static void hand_over_pooling(struct rewriting *w, int64_t kind) {
  static const char *const NAMES[] = {[MAXIMA] = "pooling", [GRADIENT] = "gradient of a pooling"};
  struct reader ahead = w->reader;
  struct operation o;
  struct pooling plan = {.kind = kind};
  struct span problem;
  const char *unread = read_operation(&ahead, &o);
  if (unread) {
    fail(w, NAMES[kind], text_of(unread));
    return;
  }
  bool largest = kind == MAXIMA ? o.region_count == 1 && region_does(o.regions[0], "\"stablehlo.maximum\"", NULL)
                                : o.region_count == 2 && region_does(o.regions[0], "\"stablehlo.compare\"", "GE") &&
                                    region_does(o.regions[1], "\"stablehlo.add\"", NULL);
  if (!largest) return;
  enum verdict verdict = judge_pooling(&o, &plan, &problem);
  if (verdict == UNREADABLE) fail(w, NAMES[kind], problem);
  if (verdict == HANDED) write_call(w, &o, POOL, &plan, POOLING);
}

static void hand_over_maxima(struct rewriting *w) { hand_over_pooling(w, MAXIMA); }

static void hand_over_gradient(struct rewriting *w) { hand_over_pooling(w, GRADIENT); }

// norm_of makes a plan of a call's types, and tells whether they are those of a norm of that kind.
static bool norm_of(const struct operation *o, struct norm *p) {
  // What the operands and results are: images, a number a channel, a number an image, one number.
  static const char *const SHAPES[][2] = {
    [FORWARDS] = {"xccb1", "xcc"},     // of x, scale, shift, share, epsilon: the result, mean, variance
    [BACKWARDS] = {"xxccccb1", "xcc"}, // of x, pull, scale, shift, mean, variance, share, epsilon
  };
  const char *shapes[2] = {SHAPES[p->kind][0], SHAPES[p->kind][1]};
  const int counts[2] = {o->operand_count, o->result_count};
  struct tensor_type images;
  if (!read_type(o->types[0], &images) || images.rank != 4 || !possible(images.sizes)) return false;
  p->batch = images.sizes[0];
  p->pixels = images.sizes[1] * images.sizes[2];
  p->channels = images.sizes[3];
  for (int side = 0; side < 2; side++) {
    if ((size_t)counts[side] != strlen(shapes[side])) return false;
    for (int i = 0; i < counts[side]; i++) {
      struct tensor_type type;
      if (!read_type((side ? o->results : o->types)[i], &type) || !is(type.element, "f32")) return false;
      if (type.rank < 0 || type.rank > 4) return false;
      int64_t size = 1, want = 1;
      for (int axis = 0; axis < type.rank; axis++) {
        if (type.sizes[axis] < 1 || type.sizes[axis] > LARGE || size > LARGE) return false;
        size *= type.sizes[axis];
      }
      switch (shapes[side][i]) {
      case 'x':
        if (type.rank != 4 || memcmp(type.sizes, images.sizes, sizeof images.sizes)) return false;
        continue;
      case 'c':
        want = p->channels;
        break;
      case 'b':
        want = p->batch;
      }
      if (size != want) return false;
    }
  }
  return true;
}

// number_in reads a number at the beginning of a text, and the underscore behind it.
static bool number_in(struct span *text, int64_t *number) {
  for (*number = 0; text->size && *text->at >= '0' && *text->at <= '9' && *number <= LARGE; text->at++, text->size--)
    *number = 10 * *number + *text->at - '0';
  if (!text->size || *text->at != '_') return false;
  text->at++;
  text->size--;
  return true;
}

// behind is what a text has behind its beginning, and tells whether it has that.
static bool behind(struct span text, const char *beginning, struct span *rest) {
  size_t size = strlen(beginning);
  *rest = (struct span){text.at + size, text.size - size};
  return text.size >= size && !memcmp(text.at, beginning, size);
}

// judge_ended makes a plan of a convolution with a bias. Its stride and padding are what its name ends with.
static enum verdict judge_ended(const struct operation *o, struct span name, struct plan *p) {
  struct tensor_type types[4];
  int64_t stride, padding;
  if (o->operand_count != 3 || o->result_count != 1) return UNREADABLE;
  if (!number_in(&name, &stride) || !number_in(&name, &padding)) return UNREADABLE;
  for (int i = 0; i < 4; i++) {
    if (!read_type(i < 3 ? o->types[i] : o->results[0], types + i)) return UNREADABLE;
    if (types[i].rank != 4 || !is(types[i].element, "f32")) return UNREADABLE;
  }
  const int64_t *bias = types[2].sizes;
  if (bias[0] != 1 || bias[1] != 1 || bias[2] != 1 || bias[3] != types[3].sizes[3]) return UNREADABLE;
  struct window window = {.stride = {stride, stride},
    .input = {1, 1},
    .kernel = {1, 1},
    .padding = {padding, padding, padding, padding},
    .groups = 1,
    .batches = 1};
  struct shape x = {types[0].sizes, {0, 3, 1, 2}}, weights = {types[1].sizes, {3, 2, 0, 1}};
  return plan_of(&window, x, weights, (struct shape){types[3].sizes, {0, 3, 1, 2}}, false, p) ? HANDED : LEFT;
}

// hand_over_ended hands over a call of a convolution with a bias, or leaves it to XLA: the function does the same.
static bool hand_over_ended(struct rewriting *w, const struct operation *o, struct span callee) {
  struct plan plan = {.type = dnnl_f32};
  struct span name;
  if (behind(callee, "@convbook_convolution_relu_", &name)) plan.ending = BIAS_AND_RELU;
  else if (behind(callee, "@convbook_convolution_", &name)) plan.ending = BIAS;
  else return false;
  enum verdict verdict = judge_ended(o, name, &plan);
  if (verdict == HANDED) write_call(w, o, CONVOLUTION, &plan, PLAN);
  return verdict != UNREADABLE;
}

// hand_over_norm hands over a call of a batch norm. There is nobody else who could compute it.
static bool hand_over_norm(struct rewriting *w, const struct operation *o, struct span callee) {
  static const struct {
    const char *name;
    int64_t kind, relu;
  } NORMS[] = {
    {"@convbook_batch_norm_relu_gradient_", BACKWARDS, 1},
    {"@convbook_batch_norm_relu_", FORWARDS, 1},
    {"@convbook_batch_norm_gradient_", BACKWARDS, 0},
    {"@convbook_batch_norm_", FORWARDS, 0},
  };
  struct span rest;
  for (size_t i = 0; i < sizeof NORMS / sizeof *NORMS; i++) {
    if (!behind(callee, NORMS[i].name, &rest)) continue;
    struct norm plan = {.kind = NORMS[i].kind, .relu = NORMS[i].relu};
    if (!norm_of(o, &plan)) return false;
    write_call(w, o, NORMALIZATION, &plan, NORM);
    return true;
  }
  return false;
}

// hand_over_call hands over a call of a function that has one of our names.
static void hand_over_call(struct rewriting *w) {
  struct reader ahead = w->reader;
  struct operation o;
  const char *unread = read_operation(&ahead, &o);
  struct span callee = value_of(&o, "callee"), rest;
  if (!behind(callee, "@convbook_", &rest)) return;
  if (unread) fail(w, "call", text_of(unread));
  else if (!hand_over_ended(w, &o, callee) && !hand_over_norm(w, &o, callee)) fail(w, "call", callee);
}

// visit looks at the next token, which may be the name of an operation.
static void visit(struct rewriting *w) {
  static const struct {
    const char *word, *name, *what;
    void (*read)(struct rewriting *w);
  } OPERATIONS[] = {
    {"stablehlo.convolution", "\"stablehlo.convolution\"", "convolution", hand_over},
    {"stablehlo.reverse", "\"stablehlo.reverse\"", "reversal", note_reversal},
    {"func.call", "\"func.call\"", "call", hand_over_call},
    {"stablehlo.reduce_window", "\"stablehlo.reduce_window\"", "pooling", hand_over_maxima},
    {"stablehlo.select_and_scatter", "\"stablehlo.select_and_scatter\"", "gradient of a pooling", hand_over_gradient},
  };
  struct token next = w->reader.token;
  if (next.text.at < w->copied) return; // in the regions or attributes of what was handed over
  follow(w);
  for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++) {
    if (next.kind == WORD && is(next.text, OPERATIONS[i].word))
      fail(w, OPERATIONS[i].what, text_of("it has no quotes"));
    if (next.kind != STRING || !is(next.text, OPERATIONS[i].name)) continue;
    struct reader ahead = w->reader;
    advance(&ahead);
    if (ahead.token.kind == '(') OPERATIONS[i].read(w); // otherwise it is only a text
  }
}

// rewrite returns the program with its convolutions handed to oneDNN and its poolings to pool.c, in new memory, or NULL
// where there are none. It is NULL, too, if one of them cannot be read: problem is a line then, in new memory.
__attribute__((visibility("default"))) char *rewrite(
  const char *program, size_t size, size_t *written, char **problem) {
  char *rewritten = NULL;
  struct rewriting w = {.reader = reader_of((struct span){program, size}), .program = program, .copied = program};
  *problem = NULL;
  if (memchr(program, 0, size)) {
    *problem = strdup("cannot read the program, which is not text: set CONVBOOK_ONEDNN=off to compute without oneDNN");
    return NULL;
  }
  if (!(w.out = open_memstream(&rewritten, written))) abort();
  for (; w.reader.token.kind != END && !w.problem; advance(&w.reader)) visit(&w);
  fwrite(w.copied, 1, (size_t)(program + size - w.copied), w.out);
  free(w.reversals);
  *problem = w.problem;
  if (!fclose(w.out) && w.handed && !w.problem) return rewritten;
  free(rewritten);
  return NULL;
}

// register_handler tells XLA of a handler, and whether it took it.
static bool register_handler(
  const PJRT_Api *xla, PJRT_FFI_Extension *ffi, const char *name, XLA_FFI_Error *(*handle)(XLA_FFI_CallFrame *call)) {
  static const char PLATFORM[] = "Host";
  PJRT_FFI_Register_Handler_Args args = {.struct_size = sizeof args,
    .target_name = name,
    .target_name_size = strlen(name),
    .handler = (void *)handle,
    .platform_name = PLATFORM,
    .platform_name_size = strlen(PLATFORM)};
  PJRT_Error *error = ffi->register_handler(&args);
  if (!error) return true;
  PJRT_Error_Destroy_Args destroy = {.struct_size = PJRT_Error_Destroy_Args_STRUCT_SIZE, .error = error};
  xla->PJRT_Error_Destroy(&destroy);
  return false;
}

// start registers the handlers with XLA and tells whether programs may use them.
__attribute__((visibility("default"))) bool start(const PJRT_Api *xla) {
  for (PJRT_Extension_Base *e = xla->extension_start; e; e = e->next) {
    if (e->type != PJRT_Extension_Type_FFI) continue;
    PJRT_FFI_Extension *ffi = (PJRT_FFI_Extension *)e;
    return !dnnl_engine_create(&engine, dnnl_cpu, 0) && register_handler(xla, ffi, CONVOLUTION, handler) &&
           register_handler(xla, ffi, POOL, pooling_handler) && register_handler(xla, ffi, NORMALIZATION, norm_handler);
  }
  return false;
}
