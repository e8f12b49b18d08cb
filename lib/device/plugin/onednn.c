// Convolutions by oneDNN in programs that XLA compiles for the CPU. XLA writes a convolution's patches into memory, or
// calls Eigen, which does; oneDNN keeps them in registers. `make setup` builds this library, and plugin.c, the plugin
// in front of XLA's, loads it, where oneDNN is: without either, XLA does all by itself.
//
// `rewrite` replaces the convolutions of a program (StableHLO as text, which go-xla writes and stablehlo.c reads) by
// calls of the handler below, which XLA's runtime makes through its foreign function interface. Three of oneDNN's
// operations serve them:
//
//	[b, 0, 1, f] images                              forward
//	[b, 0, 1, f] images and reversed weights         backward by the images
//	[f, 0, 1, b] images: the batch is summed over    backward by the weights
//
// Where most of a window lies outside of the map, as at the end of a deep network, a product of matrices for each pair
// of a pixel of the map and a place of the window is faster than any of them, as it multiplies no zeros.
//
// What oneDNN has no fast code for stays with XLA: other layouts, groups, and other types than float32 or, where the
// processor multiplies it, bfloat16. A convolution that cannot be read is an error: nobody would notice otherwise that
// all are slow.

#define _GNU_SOURCE
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oneapi/dnnl/dnnl.h"
#include "stablehlo.h"
#include "xla.h"

#pragma GCC diagnostic ignored "-Wstringop-overread" // oneDNN declares twelve axes where it reads as many as there are

enum { FORWARD, BY_IMAGES, BY_WEIGHTS };

// plan is all that there is to know about a convolution. A program carries it in each of its calls.
// Sizes and strides are in oneDNN's order: batch, channels, height, width; of the weights filters, channels, height,
// width.
struct plan {
  int64_t kind, type; // of all values: dnnl_f32 or dnnl_bf16
  int64_t x[4], w[4], y[4], x_strides[4], w_strides[4], y_strides[4];
  int64_t stride[2], dilation[2], before[2], after[2];
};

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
  char *arrays[3]; // a call's x, w and y
  dnnl_primitive_t reorder, add;
  dnnl_memory_t w; // the weights as XLA reads or writes them
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
      !dnnl_convolution_forward_primitive_desc_create(&forward, engine, dnnl_forward_training, dnnl_convolution_direct,
        x, w, NULL, y, p->stride, dilates, p->before, p->after, attributes)) {
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

// range divides a number of things among parts.
static int64_t range(int64_t things, int part, int parts, int64_t *first) {
  *first = things * part / parts;
  return things * (part + 1) / parts - *first;
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
static bool multiply(const struct plan *p, char *arrays[3], int part, int parts) {
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
  cpu_set_t cpus;
  int threads = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus); // XLA has more threads than that
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

// job is a call of a convolution, whose parts the threads take until none is left. The caller takes parts, too, and
// waits only for those that others have begun: so a call ends even if all of XLA's threads are in calls.
struct job {
  struct convolution *c;
  atomic_int users, taken, done;
  atomic_bool failed;
};

static bool execute(dnnl_primitive_t operation, int n, const dnnl_exec_arg_t *arguments) {
  static _Thread_local dnnl_stream_t stream;
  if (!stream && dnnl_stream_create(&stream, engine, dnnl_stream_default_flags)) return false;
  return !dnnl_primitive_execute(operation, stream, n, arguments) && !dnnl_stream_wait(stream);
}

static void leave(struct job *job) {
  if (atomic_fetch_sub(&job->users, 1) == 1) free(job);
}

static void work(void *data) {
  struct job *job = data;
  struct convolution *c = job->c;
  const int *names = ARGUMENTS[c->plan.kind];
  int parts = c->parts;
  omp_set_num_threads(1);
  for (int i; (i = atomic_fetch_add(&job->taken, 1)) < parts; atomic_fetch_add(&job->done, 1)) {
    struct part *part = c->part + i;
    dnnl_exec_arg_t arguments[] = {
      {names[0], part->x}, {names[1], part->w}, {names[2], part->y}, {DNNL_ARG_SCRATCHPAD, part->scratchpad}};
    bool done = c->products ? multiply(&c->plan, c->arrays, i, parts) : execute(part->operation, 4, arguments);
    if (!done) job->failed = true;
  }
  leave(job);
}

// schedule asks one of XLA's threads to take parts of the job, and tells whether it will.
static bool schedule(XLA_FFI_CallFrame *call, struct job *job) {
  XLA_FFI_ThreadPool_Schedule_Args args = {
    .struct_size = sizeof args, .context = call->context, .task = work, .data = job};
  XLA_FFI_Error *error = call->api->XLA_FFI_ThreadPool_Schedule(&args);
  if (!error) return true;
  XLA_FFI_Error_Destroy_Args destroy = {.struct_size = sizeof destroy, .error = error};
  call->api->XLA_FFI_Error_Destroy(&destroy);
  return false;
}

static bool at(dnnl_memory_t memory, void *data) { return !dnnl_memory_set_data_handle(memory, data); }

// reorders brings the weights from the order of XLA's into the operation's, or back.
static bool reorders(dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to) {
  return execute(reorder, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

// ready_memories lets the memories of a convolution's parts be those of the call.
static bool ready_memories(struct convolution *c) {
  const struct plan *p = &c->plan;
  if (!at(c->w, c->arrays[1])) return false;
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
  struct job *job = calloc(1, sizeof *job);
  if (!job) return false;
  job->c = c;
  job->users = c->parts + 1; // the threads that take parts, and this one once more while it waits
  int others = c->parts - 1;
  while (others > 0 && schedule(call, job)) others--;
  for (; others > 0; others--) leave(job); // who was not asked: the parts are left to the others
  work(job);
  for (int spins = 0; job->done < c->parts; spins++) {
    if (spins < 1000) __builtin_ia32_pause();
    else sched_yield();
  }
  bool done = !job->failed;
  leave(job);
  if (c->plan.kind != BY_WEIGHTS || c->products) return done;
  for (int i = 1; done && i < c->parts; i++) done = reorders(c->add, c->part[i].w, c->part->w);
  return done && reorders(c->reorder, c->part->w, c->w);
}

static XLA_FFI_Error *failure(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error_Create_Args error = {.struct_size = sizeof error,
    .code = XLA_FFI_Error_Code_INTERNAL,
    .message = "oneDNN failed at a convolution: set CONVBOOK_ONEDNN=off to compute without it"};
  return call->api->XLA_FFI_Error_Create(&error);
}

// introduce answers XLA, which asks, as it registers the handler, for which of its versions that is made.
static XLA_FFI_Error *introduce(XLA_FFI_CallFrame *call, XLA_FFI_Metadata_Extension *extension) {
  XLA_FFI_Api_Version *version = &extension->metadata->api_version;
  version->major_version = XLA_FFI_API_MAJOR;
  version->minor_version = XLA_FFI_API_MINOR;
  return call->api->struct_size < sizeof *call->api ? failure(call) : NULL; // then it is not used
}

static XLA_FFI_Error *handler(XLA_FFI_CallFrame *call) {
  XLA_FFI_Extension_Base *extension = call->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata)
    return introduce(call, (XLA_FFI_Metadata_Extension *)extension);
  XLA_FFI_Array *plan = call->attrs.size == 1 ? call->attrs.attrs[0] : NULL;
  if (!plan || call->args.size != 2 || call->rets.size != 1 || plan->size != PLAN) return failure(call);
  struct convolution *c = find(plan->data);
  if (!c) return failure(call);
  XLA_FFI_Buffer *first = call->args.values[0], *second = call->args.values[1], *result = call->rets.values[0];
  static const int PLACES[][3] = {[FORWARD] = {0, 1, 2}, [BY_IMAGES] = {2, 1, 0}, [BY_WEIGHTS] = {0, 2, 1}};
  char *given[] = {first->data, second->data, result->data};
  pthread_mutex_lock(&c->turn);
  for (int i = 0; i < 3; i++) c->arrays[i] = given[PLACES[c->plan.kind][i]];
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
  if (o->operand_count != 2) return UNREADABLE;
  const struct span texts[] = {o->types[0], o->types[1], o->result};
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
  int handed; // convolutions
  char *problem;
};

// reversed is a value that is another one, reversed in height and width.
struct reversed {
  struct span result, of;
};

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

// write_call writes the program up to a convolution, and a call of the handler that has its types.
static void write_call(
  struct rewriting *w, const struct operation *o, struct span first, struct span second, const struct plan *p) {
  static const char ROWS[] = "dense<[3, 2, 1, 0]> : tensor<4xindex>";
  fwrite(w->copied, 1, (size_t)(o->name.at - w->copied), w->out);
  fprintf(w->out, "\"stablehlo.custom_call\"(%.*s, %.*s) {\n", (int)first.size, first.at, (int)second.size, second.at);
  fputs("api_version = 4 : i32, call_target_name = \"convbook.convolution\", has_side_effect = false, "
        "backend_config = {plan = array<i64",
    w->out);
  for (int i = 0; i < PLAN; i++) fprintf(w->out, "%s %jd", i ? "," : ":", (intmax_t)((const int64_t *)p)[i]);
  fprintf(w->out, ">}, operand_layouts = [%s, %s], result_layouts = [%s]\n}", ROWS, ROWS, ROWS);
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
  struct plan plan;
  struct span problem;
  switch (judge(&o, weights != NULL, &plan, &problem)) {
  case UNREADABLE:
    fail(w, "convolution", problem);
    break;
  case LEFT:
    break;
  case HANDED:
    write_call(w, &o, o.operands[0], plan.kind == BY_IMAGES ? weights->of : o.operands[1], &plan);
  }
}

// visit looks at the next token, which may be the name of an operation.
static void visit(struct rewriting *w) {
  static const struct {
    const char *word, *name, *what;
    void (*read)(struct rewriting *w);
  } OPERATIONS[] = {
    {"stablehlo.convolution", "\"stablehlo.convolution\"", "convolution", hand_over},
    {"stablehlo.reverse", "\"stablehlo.reverse\"", "reversal", note_reversal},
  };
  struct token next = w->reader.token;
  if (next.text.at < w->copied) return; // in the attributes of a convolution that was handed over
  follow(w);
  for (int i = 0; i < 2; i++) {
    if (next.kind == WORD && is(next.text, OPERATIONS[i].word))
      fail(w, OPERATIONS[i].what, text_of("it has no quotes"));
    if (next.kind != STRING || !is(next.text, OPERATIONS[i].name)) continue;
    struct reader ahead = w->reader;
    advance(&ahead);
    if (ahead.token.kind == '(') OPERATIONS[i].read(w); // otherwise it is only a text
  }
}

// rewrite returns the program with its convolutions handed to oneDNN, in new memory, or NULL where there are none. It
// is NULL, too, if one of them cannot be read: problem is a line then, in new memory.
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

// start registers the handler with XLA and tells whether programs may use it.
__attribute__((visibility("default"))) bool start(const PJRT_Api *xla) {
  for (PJRT_Extension_Base *e = xla->extension_start; e; e = e->next) {
    if (e->type != PJRT_Extension_Type_FFI) continue;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0)) return false;
    static const char TARGET[] = "convbook.convolution", PLATFORM[] = "Host";
    PJRT_FFI_Register_Handler_Args args = {.struct_size = sizeof args,
      .target_name = TARGET,
      .target_name_size = strlen(TARGET),
      .handler = (void *)handler,
      .platform_name = PLATFORM,
      .platform_name_size = strlen(PLATFORM)};
    PJRT_Error *error = ((PJRT_FFI_Extension *)e)->register_handler(&args);
    if (!error) return true;
    PJRT_Error_Destroy_Args destroy = {.struct_size = PJRT_Error_Destroy_Args_STRUCT_SIZE, .error = error};
    xla->PJRT_Error_Destroy(&destroy);
  }
  return false;
}
