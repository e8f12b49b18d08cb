#include "convolve.h"

#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "oneapi/dnnl/dnnl.h"
#include "products.h"

#pragma GCC diagnostic ignored "-Wstringop-overread" // oneDNN declares twelve axes where it reads as many as there are

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
  struct convolution_arrays arrays; // a call's
  dnnl_primitive_t reorder;
  int64_t values;  // of the weights, in the order that the parts want
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

// sound tells whether oneDNN's code for a plan stays within its memory. For the gradient with respect to weights of 1×1
// it gathers the images' values that a stride leaves, whole registers of channels at a time: where a register holds
// more channels than there are, it writes past the end of its scratchpad.
static bool sound(const struct plan *p) {
  enum { REGISTER = 16 }; // the most floats that one holds
  bool gathers = p->w[2] == 1 && p->w[3] == 1 && (p->stride[0] != 1 || p->stride[1] != 1);
  return p->kind != BY_WEIGHTS || !gathers || p->x[1] >= REGISTER;
}

// size_of is how many bytes a value has.
static int64_t size_of(const struct plan *p) { return p->type == dnnl_bf16 ? 2 : sizeof(float); }

// describe is oneDNN's description of a convolution of that many images, or NULL where it has no good one.
static dnnl_primitive_desc_t describe(const struct plan *p, int64_t images) {
  if (!sound(p)) return NULL;
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

// reorder_of makes the operation that brings values from one order into another.
static dnnl_primitive_t reorder_of(const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to) {
  dnnl_primitive_desc_t made = NULL;
  dnnl_primitive_t reorder = NULL;
  if (!dnnl_reorder_primitive_desc_create(&made, from, engine, to, engine, NULL)) dnnl_primitive_create(&reorder, made);
  dnnl_primitive_desc_destroy(made);
  return reorder;
}

// memory_of makes a memory for an argument of an operation, with room of its own if it allocates.
static bool memory_of(dnnl_memory_t *memory, const_dnnl_primitive_desc_t description, int argument, bool allocates) {
  const_dnnl_memory_desc_t form = dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, argument);
  return !dnnl_memory_create(memory, form, engine, allocates ? DNNL_MEMORY_ALLOCATE : DNNL_MEMORY_NONE);
}

// clean makes a memory with room of its own zero.
static bool clean(dnnl_memory_t memory) {
  const_dnnl_memory_desc_t form;
  void *room;
  if (dnnl_memory_get_memory_desc(memory, &form) || dnnl_memory_get_data_handle(memory, &room)) return false;
  if (room) memset(room, 0, dnnl_memory_desc_get_size(form));
  return true;
}

// weights_of is the order in which a described convolution wants its weights, or has the gradient with respect to them.
static const_dnnl_memory_desc_t weights_of(const struct plan *p, const_dnnl_primitive_desc_t description) {
  return dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, ARGUMENTS[p->kind][1]);
}

// divisible tells whether a plan may be divided into that many parts: oneDNN may have nothing for as few images as a
// part has, and parts of other sizes may want the weights in another order.
static bool divisible(const struct plan *p, int parts) {
  int64_t images = p->x[0] / parts;
  bool two_sizes = p->x[0] % parts;
  dnnl_primitive_desc_t fewer = describe(p, images), more = two_sizes ? describe(p, images + 1) : NULL;
  bool may = fewer && (!two_sizes || (more && dnnl_memory_desc_equal(weights_of(p, fewer), weights_of(p, more))));
  dnnl_primitive_desc_destroy(fewer);
  dnnl_primitive_desc_destroy(more);
  return may;
}

// prepare makes a plan ready for that many parts, or returns false. What it made then is lost: that is rare.
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
    inner = weights_of(p, description);
    if (i && p->kind != BY_WEIGHTS) part->w = c->part->w;
    else if (!memory_of(&part->w, description, names[1], true)) return false;
    if (!memory_of(&part->x, description, names[0], false) || !memory_of(&part->y, description, names[2], false) ||
        !memory_of(&part->scratchpad, description, DNNL_ARG_SCRATCHPAD, true))
      return false;
    if (!clean(part->scratchpad)) return false; // oneDNN takes it for zeros around images of bfloat16
  }
  c->reorder = p->kind == BY_WEIGHTS ? reorder_of(inner, w) : reorder_of(w, inner);
  c->values = (int64_t)(dnnl_memory_desc_get_size(inner) / sizeof(float));
  return c->reorder;
}

// make makes a plan ready, or returns NULL. It is not freed before the process ends: a program has some dozens.
static struct convolution *make(const struct plan *p) {
  int threads = thread_count();
  struct convolution *c = calloc(1, sizeof *c + (size_t)threads * sizeof *c->part);
  if (!c || pthread_mutex_init(&c->turn, NULL)) return NULL;
  c->plan = *p;
  c->products = as_products(p);
  c->parts = c->products || threads < p->x[0] ? threads : (int)p->x[0];
  while (!c->products && c->parts > 1 && !divisible(p, c->parts)) c->parts--;
  if (!c->products && !prepare(c)) return NULL;
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
  if (c->products) return multiply(&c->plan, &c->arrays, i, c->parts);
  return execute(part->operation, c->bias ? 5 : 4,
    (dnnl_exec_arg_t[]){{names[0], part->x}, {names[1], part->w}, {names[2], part->y},
      {DNNL_ARG_SCRATCHPAD, part->scratchpad}, {DNNL_ARG_BIAS, c->bias}});
}

// add_up does a part of the sum of all parts' gradients with respect to the weights, into the first of them.
static bool add_up(void *work, int i) {
  struct convolution *c = work;
  int64_t first, count = range(c->values, i, c->parts, &first);
  void *room;
  if (dnnl_memory_get_data_handle(c->part->w, &room)) return false;
  float *sum = (float *)room + first;
  for (struct part *part = c->part + 1; part < c->part + c->parts; part++) {
    if (dnnl_memory_get_data_handle(part->w, &room)) return false;
    const float *more = (float *)room + first;
    for (int64_t k = 0; k < count; k++) sum[k] += more[k];
  }
  return true;
}

static bool at(dnnl_memory_t memory, void *data) { return !dnnl_memory_set_data_handle(memory, data); }

// reorders brings the weights from the order of XLA's into the operation's, or back.
static bool reorders(dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to) {
  return execute(reorder, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

// ready_memories lets the memories of a convolution's parts be those of the call.
static bool ready_memories(struct convolution *c) {
  const struct plan *p = &c->plan;
  if (!at(c->w, c->arrays.w) || (c->bias && !at(c->bias, c->arrays.bias))) return false;
  if (p->kind != BY_WEIGHTS && !reorders(c->reorder, c->w, c->part->w)) return false;
  for (struct part *part = c->part; part < c->part + c->parts; part++) {
    char *x = c->arrays.x + part->image * p->x_strides[0] * size_of(p);
    char *y = c->arrays.y + part->image * p->y_strides[0] * size_of(p);
    if (!at(part->x, x) || !at(part->y, y)) return false;
  }
  return true;
}

// run computes a convolution on the call's threads.
static bool run(struct convolution *c, XLA_FFI_CallFrame *call) {
  if (!c->products && !ready_memories(c)) return false;
  if (!each(call, c->parts, compute, c)) return false;
  if (c->plan.kind != BY_WEIGHTS || c->products) return true;
  if (c->parts > 1 && !each(call, c->parts, add_up, c)) return false;
  return reorders(c->reorder, c->part->w, c->w);
}

bool open_engine(void) { return !dnnl_engine_create(&engine, dnnl_cpu, 0); }

bool multiplies_bf16(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

bool computable(const struct plan *p) {
  if (as_products(p)) return true;
  dnnl_primitive_desc_t description = describe(p, p->x[0]);
  if (!description) return false;
  dnnl_primitive_desc_destroy(description);
  return true;
}

bool convolve(const struct plan *plan, const struct convolution_arrays *arrays, XLA_FFI_CallFrame *call) {
  struct convolution *c = find(plan);
  if (!c) return false;
  pthread_mutex_lock(&c->turn);
  c->arrays = *arrays;
  bool done = run(c, call);
  pthread_mutex_unlock(&c->turn);
  return done;
}
