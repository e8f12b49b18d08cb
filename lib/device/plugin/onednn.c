// Convolutions by oneDNN in programs that XLA compiles for the CPU. XLA writes a convolution's patches into memory, or
// calls Eigen, which does; oneDNN keeps them in registers. `make setup` builds this library, and plugin.c, the plugin in
// front of XLA's, loads it, where oneDNN is: without either, XLA does all by itself.
//
// `rewrite` replaces the convolutions of a program (StableHLO as text, which go-xla writes) by calls of the handler
// below, which XLA's runtime makes through its foreign function interface. Three of oneDNN's operations serve them:
//
//	[b, 0, 1, f] images                              forward
//	[b, 0, 1, f] images and reversed weights         backward by the images
//	[f, 0, 1, b] images: the batch is summed over    backward by the weights
//
// Where most of a window lies outside of the map, as at the end of a deep network, a product of matrices for each pair of
// a pixel of the map and a place of the window is faster than any of them, as it multiplies no zeros.
//
// What oneDNN has no fast code for stays with XLA: other layouts and types than float32, and groups.

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
#include "xla.h"

#pragma GCC diagnostic ignored "-Wstringop-overread" // oneDNN declares twelve axes where it reads as many as there are

enum { FORWARD, BY_IMAGES, BY_WEIGHTS };

// plan is all that there is to know about a convolution. A program carries it in each of its calls.
// Sizes and strides are in oneDNN's order: batch, channels, height, width; of the weights filters, channels, height, width.
struct plan {
  int64_t kind;
  int64_t x[4], w[4], y[4], x_strides[4], w_strides[4], y_strides[4];
  int64_t stride[2], dilation[2], before[2], after[2];
};

enum { PLAN = sizeof(struct plan) / sizeof(int64_t) };

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

// describe is oneDNN's description of a convolution of so many images, or NULL where it has none or a slow one.
static dnnl_primitive_desc_t describe(const struct plan *p, int64_t images) {
  omp_set_num_threads(1); // of this thread: the others are XLA's
  dnnl_memory_desc_t x = NULL, w = NULL, y = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t forward = NULL, made = NULL;
  const int64_t dilates[2] = {p->dilation[0] - 1, p->dilation[1] - 1};
  const int64_t x_sizes[4] = {images, p->x[1], p->x[2], p->x[3]}, y_sizes[4] = {images, p->y[1], p->y[2], p->y[3]};
  if (!dnnl_primitive_attr_create(&attributes) && !dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) &&
      !dnnl_memory_desc_create_with_strides(&x, 4, x_sizes, dnnl_f32, p->x_strides) &&
      !dnnl_memory_desc_create_with_tag(&w, 4, p->w, dnnl_f32, dnnl_format_tag_any) &&
      !dnnl_memory_desc_create_with_strides(&y, 4, y_sizes, dnnl_f32, p->y_strides) &&
      !dnnl_convolution_forward_primitive_desc_create(&forward, engine, dnnl_forward_training, dnnl_convolution_direct, x, w,
        NULL, y, p->stride, dilates, p->before, p->after, attributes)) {
    if (p->kind == FORWARD)
      made = forward;
    else if (p->kind == BY_IMAGES)
      dnnl_convolution_backward_data_primitive_desc_create(&made, engine, dnnl_convolution_direct, x, w, y, p->stride, dilates,
        p->before, p->after, forward, attributes);
    else
      dnnl_convolution_backward_weights_primitive_desc_create(&made, engine, dnnl_convolution_direct, x, w, NULL, y, p->stride,
        dilates, p->before, p->after, forward, attributes);
  }
  const char *name = NULL;
  if (made && (dnnl_primitive_desc_query(made, dnnl_query_impl_info_str, 0, &name) || (!strstr(name, "jit") && !strstr(name, "brg")))) {
    if (made != forward) dnnl_primitive_desc_destroy(made);
    made = NULL; // gemm or the reference: XLA is faster
  }
  if (forward && forward != made) dnnl_primitive_desc_destroy(forward);
  dnnl_memory_desc_destroy(x), dnnl_memory_desc_destroy(w), dnnl_memory_desc_destroy(y);
  dnnl_primitive_attr_destroy(attributes);
  return made;
}

// ---- The handler

// inside tells whether the window at a row (axis 2) or column (axis 3) of y is, at one of its places, inside of x, and where.
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

enum { PIXELS = 4096 }; // most of a map and places of a window for which products are thought of: they are for small maps

// mostly_outside tells whether products of matrices are faster than oneDNN's convolutions, which they are from a quarter of
// zeros on, if the matrices are large enough and lie as images and weights usually do.
static bool mostly_outside(const struct plan *p) {
  return p->x[2] * p->x[3] <= PIXELS && p->w[2] * p->w[3] <= PIXELS && p->y[2] * p->y[3] <= PIXELS &&
         4 * pairs(p, 2) * pairs(p, 3) < 3 * p->y[2] * p->y[3] * p->w[2] * p->w[3] && p->x[0] >= 16 && p->x[1] >= 64 && p->y[1] >= 64 &&
         p->x_strides[1] == 1 && p->y_strides[1] == 1 && p->w_strides[0] == 1 && p->w_strides[1] == p->w[0];
}

// range divides a number of things among parts.
static int64_t range(int64_t things, int part, int parts, int64_t *first) {
  *first = things * part / parts;
  return things * (part + 1) / parts - *first;
}

// multiply does a part of a convolution by one product for each pair of a pixel of y and a place of the window inside of x.
// The parts are of the images, but those of the gradient by the weights are of x's channels. A value of the result is a sum
// of products: the first overwrites it.
static bool multiply(const struct plan *p, char *arrays[3], int part, int parts) {
  float *x = (float *)arrays[0], *w = (float *)arrays[1], *y = (float *)arrays[2];
  int64_t first, count = range(p->kind == BY_WEIGHTS ? p->x[1] : p->x[0], part, parts, &first);
  if (p->kind == BY_WEIGHTS) x += first, w += first * p->w_strides[1];
  else x += first * p->x_strides[0], y += first * p->y_strides[0];
  int64_t size = p->kind == BY_IMAGES ? p->x[2] * p->x[3] : p->kind == BY_WEIGHTS ? p->w[2] * p->w[3] : p->y[2] * p->y[3];
  bool begun[size]; // by pixel or place of the result
  memset(begun, 0, sizeof begun);
  for (int64_t row = 0; row < p->y[2]; row++)
    for (int64_t column = 0; column < p->y[3]; column++)
      for (int64_t i = 0; i < p->w[2]; i++)
        for (int64_t j = 0; j < p->w[3]; j++) {
          int64_t r, s;
          if (!inside(p, 2, row, i, &r) || !inside(p, 3, column, j, &s)) continue;
          bool *more = begun + (p->kind == BY_IMAGES ? r * p->x[3] + s : p->kind == BY_WEIGHTS ? i * p->w[3] + j : row * p->y[3] + column);
          float *xs = x + r * p->x_strides[2] + s * p->x_strides[3], *ws = w + i * p->w_strides[2] + j * p->w_strides[3],
                *ys = y + row * p->y_strides[2] + column * p->y_strides[3];
          dnnl_status_t failed =
            p->kind == FORWARD     ? dnnl_sgemm('N', 'N', count, p->y[1], p->x[1], 1, xs, p->x_strides[0], ws, p->w_strides[1], *more, ys, p->y_strides[0])
            : p->kind == BY_IMAGES ? dnnl_sgemm('N', 'T', count, p->x[1], p->y[1], 1, ys, p->y_strides[0], ws, p->w_strides[1], *more, xs, p->x_strides[0])
                                   : dnnl_sgemm('T', 'N', count, p->y[1], p->x[0], 1, xs, p->x_strides[0], ys, p->y_strides[0], *more, ws, p->w_strides[1]);
          if (failed) return false;
          *more = true;
        }
  for (int64_t at = 0; at < size; at++) { // what no window touches
    if (begun[at]) continue;
    if (p->kind == BY_WEIGHTS)
      memset(w + at / p->w[3] * p->w_strides[2] + at % p->w[3] * p->w_strides[3], 0, count * p->w_strides[1] * sizeof *w);
    for (int64_t n = 0; p->kind != BY_WEIGHTS && n < count; n++) {
      if (p->kind == BY_IMAGES)
        memset(x + n * p->x_strides[0] + at / p->x[3] * p->x_strides[2] + at % p->x[3] * p->x_strides[3], 0, p->x[1] * sizeof *x);
      else
        memset(y + n * p->y_strides[0] + at / p->y[3] * p->y_strides[2] + at % p->y[3] * p->y_strides[3], 0, p->y[1] * sizeof *y);
    }
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

// prepare makes a plan ready for that many parts, or returns false. What it made then is lost: that is rare, and little.
static bool prepare(struct convolution *c) {
  const struct plan *p = &c->plan;
  const int *names = ARGUMENTS[p->kind];
  dnnl_memory_desc_t w = NULL;
  const_dnnl_memory_desc_t inner = NULL; // the weights' order in all parts
  if (dnnl_memory_desc_create_with_strides(&w, 4, p->w, dnnl_f32, p->w_strides) || dnnl_memory_create(&c->w, w, engine, DNNL_MEMORY_NONE))
    return false;
  dnnl_primitive_desc_t description = NULL;
  for (int i = 0; i < c->parts; i++) {
    struct part *part = c->part + i;
    int64_t images = p->x[0] / c->parts + (i < p->x[0] % c->parts);
    bool another = !i || i == p->x[0] % c->parts; // number of images than the part before
    if (another && (!(description = describe(p, images)) || dnnl_primitive_create(&part->operation, description))) return false;
    if (!another) part->operation = part[-1].operation;
    part->image = i ? part[-1].image + p->x[0] / c->parts + (i - 1 < p->x[0] % c->parts) : 0;
    const_dnnl_memory_desc_t order = dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, names[1]);
    if (inner && !dnnl_memory_desc_equal(inner, order)) return false;
    inner = order;
    if (i && p->kind != BY_WEIGHTS) part->w = c->part->w;
    else if (dnnl_memory_create(&part->w, inner, engine, DNNL_MEMORY_ALLOCATE)) return false;
    if (dnnl_memory_create(&part->x, dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, names[0]), engine, DNNL_MEMORY_NONE) ||
        dnnl_memory_create(&part->y, dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, names[2]), engine, DNNL_MEMORY_NONE) ||
        dnnl_memory_create(&part->scratchpad, dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, DNNL_ARG_SCRATCHPAD), engine,
          DNNL_MEMORY_ALLOCATE))
      return false;
  }
  if (p->kind != BY_WEIGHTS) return (c->reorder = reorder_of(w, inner, false));
  return (c->reorder = reorder_of(inner, w, false)) && (c->add = reorder_of(inner, w, true));
}

// make makes a plan ready, or returns NULL. It is not freed before the process ends: a program has some dozens.
static struct convolution *make(const struct plan *p) {
  cpu_set_t cpus;
  int threads = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus); // XLA has more threads than that
  struct convolution *c = calloc(1, sizeof *c + threads * sizeof *c->part);
  if (!c || pthread_mutex_init(&c->turn, NULL)) return NULL;
  c->plan = *p;
  c->products = mostly_outside(p);
  c->parts = c->products || threads < p->x[0] ? threads : p->x[0];
  if (!c->products && !prepare(c)) { // parts of other sizes may want the weights in another order
    memset(c->part, 0, threads * sizeof *c->part);
    while (p->x[0] % c->parts) c->parts--;
    if (!prepare(c)) return NULL;
  }
  c->next = ready;
  return ready = c;
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

// job is a call of a convolution, whose parts the threads take until none is left. The caller takes parts, too, and waits
// only for those that others have begun: so a call ends even if all of XLA's threads are in calls.
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

static void work(void *data) {
  struct job *job = data;
  struct convolution *c = job->c;
  const int *names = ARGUMENTS[c->plan.kind];
  int parts = c->parts;
  omp_set_num_threads(1);
  for (int i; (i = atomic_fetch_add(&job->taken, 1)) < parts; atomic_fetch_add(&job->done, 1)) {
    struct part *part = c->part + i;
    dnnl_exec_arg_t arguments[] = {{names[0], part->x}, {names[1], part->w}, {names[2], part->y}, {DNNL_ARG_SCRATCHPAD, part->scratchpad}};
    if (!(c->products ? multiply(&c->plan, c->arrays, i, parts) : execute(part->operation, 4, arguments))) job->failed = true;
  }
  if (atomic_fetch_sub(&job->users, 1) == 1) free(job);
}

static bool at(dnnl_memory_t memory, void *data) { return !dnnl_memory_set_data_handle(memory, data); }

// reorders brings the weights from the order of XLA's into the operation's, or back.
static bool reorders(dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to) {
  return execute(reorder, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

// run computes a convolution on the call's threads.
static bool run(struct convolution *c, XLA_FFI_CallFrame *call) {
  const struct plan *p = &c->plan;
  bool sums = p->kind == BY_WEIGHTS && !c->products;
  if (!c->products) {
    if (!at(c->w, c->arrays[1]) || (!sums && !reorders(c->reorder, c->w, c->part->w))) return false;
    for (struct part *part = c->part; part < c->part + c->parts; part++)
      if (!at(part->x, c->arrays[0] + part->image * p->x_strides[0] * sizeof(float)) ||
          !at(part->y, c->arrays[2] + part->image * p->y_strides[0] * sizeof(float)))
        return false;
  }
  struct job *job = calloc(1, sizeof *job);
  if (!job) return false;
  job->c = c, job->users = c->parts + 1;
  for (int i = 1; i < c->parts; i++) {
    XLA_FFI_ThreadPool_Schedule_Args args = {.struct_size = sizeof args, .context = call->context, .task = work, .data = job};
    if (call->api->XLA_FFI_ThreadPool_Schedule(&args)) return false;
  }
  work(job);
  for (int spins = 0; job->done < c->parts; spins++)
    if (spins < 1000) __builtin_ia32_pause();
    else sched_yield();
  bool done = !job->failed;
  if (atomic_fetch_sub(&job->users, 1) == 1) free(job);
  for (int i = 0; sums && done && i < c->parts; i++) done = reorders(i ? c->add : c->reorder, c->part[i].w, c->w);
  return done;
}

static XLA_FFI_Error *failure(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error_Create_Args error = {.struct_size = sizeof error, .code = XLA_FFI_Error_Code_INTERNAL,
    .message = "oneDNN failed at a convolution: set CONVBOOK_ONEDNN=off to compute without it"};
  return call->api->XLA_FFI_Error_Create(&error);
}

static XLA_FFI_Error *handler(XLA_FFI_CallFrame *call) {
  XLA_FFI_Extension_Base *extension = call->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata) { // XLA asks, as it registers, for which of its versions this is made
    XLA_FFI_Api_Version *version = &((XLA_FFI_Metadata_Extension *)extension)->metadata->api_version;
    version->major_version = XLA_FFI_API_MAJOR, version->minor_version = XLA_FFI_API_MINOR;
    return call->api->struct_size < sizeof *call->api ? failure(call) : NULL; // then it is not used
  }
  XLA_FFI_Array *plan = call->attrs.size == 1 ? call->attrs.attrs[0] : NULL;
  if (plan && call->args.size == 2 && call->rets.size == 1 && plan->size == PLAN) {
    XLA_FFI_Buffer *first = call->args.values[0], *second = call->args.values[1], *result = call->rets.values[0];
    struct convolution *c = find(plan->data);
    if (c) {
      static const int PLACES[][3] = {[FORWARD] = {0, 1, 2}, [BY_IMAGES] = {2, 1, 0}, [BY_WEIGHTS] = {0, 2, 1}};
      char *given[] = {first->data, second->data, result->data};
      pthread_mutex_lock(&c->turn);
      for (int i = 0; i < 3; i++) c->arrays[i] = given[PLACES[c->plan.kind][i]];
      bool done = run(c, call);
      pthread_mutex_unlock(&c->turn);
      if (done) return NULL;
    }
  }
  return failure(call);
}

// ---- Reading StableHLO, as go-xla writes it: one attribute a line.

enum { LARGE = 1 << 24 }; // beyond all sizes, strides and paddings; products of two do not overflow

// numbers reads the whole numbers behind a name, up to the end of the line, and returns how many there are, at most `most`,
// or 0 if one is too large.
static int numbers(const char *text, const char *name, int64_t *values, int most) {
  const char *at = strstr(text, name);
  int n = 0;
  if (!at) return 0;
  at += strlen(name);
  while (*at && *at != '>' && *at != '\n' && n < most) {
    char *end;
    values[n] = strtoll(at, &end, 10);
    if (end == at) at++;
    else if (values[n] < -LARGE || values[n] > LARGE) return 0;
    else at = end, n++;
  }
  return n;
}

// order reads four axes, as [b, 0, 1, f], and tells where each of `names` is.
static const char *order(const char *text, const char *names, int at[4]) {
  for (int i = 0; i < 4; i++) at[i] = -1;
  text = strchr(text, '[');
  for (int axis = 0; text && axis < 4; axis++) {
    const char *name = text[1] ? strchr(names, text[1]) : NULL;
    if (!name) return NULL;
    at[name - names] = axis;
    text += strcspn(text + 1, "],") + 1;
    if (*text == ',') text++;
  }
  for (int i = 0; i < 4; i++)
    if (at[i] < 0) return NULL;
  return *text == ']' ? text : NULL;
}

// sizes reads a type, as tensor<128x32x32x3xf32>, of less than 2^48 values, and none of them empty.
static const char *sizes(const char *text, int64_t dims[4]) {
  text = text ? strstr(text, "tensor<") : NULL;
  if (!text) return NULL;
  text += strlen("tensor<");
  int64_t most = INT64_C(1) << 48;
  for (int i = 0; i < 4; i++) {
    char *end;
    dims[i] = strtoll(text, &end, 10);
    if (end == text || *end != 'x' || dims[i] < 1 || dims[i] > LARGE || dims[i] > most) return NULL;
    most /= dims[i];
    text = end + 1;
  }
  return strncmp(text, "f32>", 4) ? NULL : text;
}

// arrange gives sizes, and the distances of their values in memory, in another order of axes.
static void arrange(const int64_t dims[4], const int at[4], int64_t sorted[4], int64_t strides[4]) {
  int64_t distance[4] = {0, 0, 0, 1};
  for (int i = 2; i >= 0; i--) distance[i] = distance[i + 1] * dims[i + 1];
  for (int i = 0; i < 4; i++) sorted[i] = dims[at[i]], strides[i] = distance[at[i]];
}

static void swap(int at[4]) {
  int first = at[0];
  at[0] = at[1], at[1] = first;
}

// fits tells whether a window of so many places, so far apart, is at so many places of a map: what XLA makes sure of in a
// convolution, but not in a call.
static bool fits(int64_t map, int64_t between, const int64_t around[2], int64_t places, int64_t apart, int64_t stride, int64_t out) {
  int64_t room = (map - 1) * between + around[0] + around[1] - (places - 1) * apart;
  return between > 0 && apart > 0 && stride > 0 && room >= 0 && room / stride + 1 == out;
}

// parse reads a convolution's attributes and types, and tells whether oneDNN has it. Its weights are as they are, or
// those of a layer, reversed in height and width.
static bool parse(const char *text, bool reversed, struct plan *p) {
  int64_t strides[2], input[2], kernel[2], padding[4], groups, batches, first[4], second[4], result[4];
  if (numbers(text, "window_strides = array<i64:", strides, 2) != 2 || numbers(text, "lhs_dilation = array<i64:", input, 2) != 2 ||
      numbers(text, "rhs_dilation = array<i64:", kernel, 2) != 2 || numbers(text, "feature_group_count =", &groups, 1) != 1 ||
      numbers(text, "batch_group_count =", &batches, 1) != 1 || groups != 1 || batches != 1)
    return false;
  if (strstr(text, "true")) return false; // window_reversal, which go-xla does not use
  switch (numbers(text, "padding = dense<", padding, 4)) {
  case 1: padding[1] = padding[2] = padding[3] = padding[0];
  case 4: break;
  default: return false;
  }
  const char *axes = strstr(text, "#stablehlo.conv<"), *types = strstr(text, "} : (");
  int x[4], w[4], y[4];
  if (!axes || !types || !(axes = order(axes, "bf01", x)) || !(axes = order(axes, "oi01", w)) || !order(axes, "bf01", y) ||
      !(types = sizes(types, first)) || !(types = sizes(types, second)) || !sizes(types, result))
    return false;
  for (int i = 0; i < 2; i++)
    if (!fits(first[x[2 + i]], input[i], padding + 2 * i, second[w[2 + i]], kernel[i], strides[i], result[y[2 + i]])) return false;
  if (first[x[0]] != result[y[0]] || first[x[1]] != second[w[1]] || second[w[0]] != result[y[1]]) return false;
  if (x[0] == 3 && x[1] == 0) p->kind = BY_WEIGHTS;
  else if (x[0] == 0 && x[1] == 3) p->kind = reversed ? BY_IMAGES : FORWARD;
  else return false;
  if (p->kind != BY_IMAGES && (input[0] != 1 || input[1] != 1)) return false;
  const int64_t *stride = strides, *dilation = kernel;
  for (int i = 0; i < 2; i++) p->before[i] = padding[2 * i], p->after[i] = padding[2 * i + 1];
  switch (p->kind) {
  case FORWARD:
    arrange(first, x, p->x, p->x_strides), arrange(second, w, p->w, p->w_strides), arrange(result, y, p->y, p->y_strides);
    break;
  case BY_IMAGES: // the filters are what XLA sums over, and the padding is what it adds around y
    swap(w);
    arrange(result, y, p->x, p->x_strides), arrange(second, w, p->w, p->w_strides), arrange(first, x, p->y, p->y_strides);
    if (strides[0] != 1 || strides[1] != 1) return false;
    stride = input;
    for (int i = 0; i < 2; i++) {
      int64_t window = (p->w[2 + i] - 1) * kernel[i];
      p->before[i] = window - p->before[i];
      p->after[i] = (p->y[2 + i] - 1) * stride[i] + window + 1 - p->x[2 + i] - p->before[i];
    }
    break;
  case BY_WEIGHTS: // XLA sums over the images: its f of the first and i of the second
    swap(x), swap(w), swap(y);
    arrange(first, x, p->x, p->x_strides), arrange(result, y, p->w, p->w_strides), arrange(second, w, p->y, p->y_strides);
    stride = kernel, dilation = strides;
  }
  memcpy(p->stride, stride, sizeof p->stride);
  memcpy(p->dilation, dilation, sizeof p->dilation);
  if (mostly_outside(p)) return true;
  dnnl_primitive_desc_t description = describe(p, p->x[0]);
  if (!description) return false;
  dnnl_primitive_desc_destroy(description);
  return true;
}

// reversed finds which value a value is the reverse of, in height and width. It returns how long that one's name is, or 0.
// `program` ends where the value is used.
static int reversed(const char *program, const char *value, int length, const char **of) {
  static const char REVERSE[] = "\"stablehlo.reverse\"(", AXES[] = ") { dimensions = array<i64: 0, 1> }";
  char definition[32];
  const char *at = NULL;
  if (snprintf(definition, sizeof definition, " %.*s = ", length, value) >= (int)sizeof definition) return 0;
  for (const char *next = program; (next = strstr(next, definition)); next++) at = next; // the nearest: names begin anew in a function
  if (!at || strncmp(at += strlen(definition), REVERSE, strlen(REVERSE))) return 0;
  *of = at + strlen(REVERSE);
  int name = strcspn(*of, ")");
  return strncmp(*of + name, AXES, strlen(AXES)) ? 0 : name;
}

// rewrite returns the program with its convolutions handed to oneDNN, in new memory, or NULL where there are none.
__attribute__((visibility("default"))) char *rewrite(const char *program, size_t size, size_t *written) {
  static const char NAME[] = "\"stablehlo.convolution\"(";
  if (memchr(program, 0, size)) return NULL; // not text
  char *copy = strndup(program, size), *rest = copy, *at, *rewritten = NULL;
  FILE *out = open_memstream(&rewritten, written);
  int found = 0;
  while (copy && out && (at = strstr(rest, NAME))) { // name(first, second) {attributes} : types
    char *first = at + strlen(NAME), *second = strstr(first, ", "), *attributes = strstr(first, ") {"),
         *types = strstr(first, "} : ("), *end = types ? strchr(types, '\n') : NULL;
    if (!second || !attributes || second > attributes || attributes > types || !end) break;
    second += strlen(", ");
    *at = *end = 0;
    const char *weights = second;
    int length = reversed(copy, second, attributes - second, &weights);
    struct plan plan;
    if (!parse(attributes, length > 0, &plan)) {
      fprintf(out, "%s%c%s\n", rest, NAME[0], at + 1);
    } else {
      static const char ROWS[] = "dense<[3, 2, 1, 0]> : tensor<4xindex>";
      if (plan.kind != BY_IMAGES) weights = second, length = attributes - second;
      fprintf(out, "%s\"stablehlo.custom_call\"(%.*s%.*s) {\n", rest, (int)(second - first), first, length, weights);
      fputs("api_version = 4 : i32, call_target_name = \"convbook.convolution\", has_side_effect = false, backend_config = {plan = array<i64", out);
      for (int i = 0; i < PLAN; i++) fprintf(out, "%s %jd", i ? "," : ":", (intmax_t)((int64_t *)&plan)[i]);
      fprintf(out, ">}, operand_layouts = [%s, %s], result_layouts = [%s]\n%s\n", ROWS, ROWS, ROWS, types);
      found++;
    }
    *at = NAME[0], *end = '\n';
    rest = end + 1;
  }
  if (out && rest) fputs(rest, out);
  free(copy);
  if (out && !fclose(out) && found) return rewritten;
  free(rewritten);
  return NULL;
}

// start registers the handler with XLA and tells whether programs may use it.
__attribute__((visibility("default"))) bool start(const PJRT_Api *xla) {
  for (PJRT_Extension_Base *e = xla->extension_start; e; e = e->next) {
    if (e->type != PJRT_Extension_Type_FFI) continue;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0)) return false;
    static const char TARGET[] = "convbook.convolution", PLATFORM[] = "Host";
    PJRT_FFI_Register_Handler_Args args = {.struct_size = sizeof args, .target_name = TARGET, .target_name_size = strlen(TARGET),
      .handler = (void *)handler, .platform_name = PLATFORM, .platform_name_size = strlen(PLATFORM)};
    PJRT_Error *error = ((PJRT_FFI_Extension *)e)->register_handler(&args);
    if (!error) return true;
    PJRT_Error_Destroy_Args destroy = {.struct_size = PJRT_Error_Destroy_Args_STRUCT_SIZE, .error = error};
    xla->PJRT_Error_Destroy(&destroy);
  }
  return false;
}
