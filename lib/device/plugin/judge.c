#include "judge.h"

#include <string.h>

// ---- Convolutions

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

// some tells whether an array with these sizes has less than 2^48 values, and is not empty.
static bool some(const int64_t *sizes, int axes) {
  int64_t most = INT64_C(1) << 48;
  for (int i = 0; i < axes; i++) {
    if (sizes[i] < 1 || sizes[i] > LARGE || sizes[i] > most) return false;
    most /= sizes[i];
  }
  return true;
}

static bool possible(const int64_t sizes[4]) { return some(sizes, 4); }

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

// plan_of makes a plan of a convolution and tells whether it is one that is computed here.
static bool plan_of(
  const struct window *w, struct shape first, struct shape second, struct shape result, bool reversed, struct plan *p) {
  if (w->groups != 1 || w->batches != 1 || w->reversal[0] || w->reversal[1]) return false;
  if (!consistent(w, first, second, result)) return false;
  bool batch_last = first.at[0] == 3 && first.at[1] == 0, channels_last = first.at[0] == 0 && first.at[1] == 3;
  if (!batch_last && !channels_last) return false;
  bool in_space = second.at[2] < 2 && second.at[3] < 2; // else it is the filters and channels that are reversed
  p->kind = batch_last ? BY_WEIGHTS : reversed && in_space ? BY_IMAGES : FORWARD;
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
  return computable(p);
}

enum verdict judge_convolution(const struct operation *o, bool reversed, struct plan *p, struct span *problem) {
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

// number_in reads a number at the beginning of a text, and the underscore behind it.
static bool number_in(struct span *text, int64_t *number) {
  for (*number = 0; text->size && *text->at >= '0' && *text->at <= '9' && *number <= LARGE; text->at++, text->size--)
    *number = 10 * *number + *text->at - '0';
  if (!text->size || *text->at != '_') return false;
  text->at++;
  text->size--;
  return true;
}

enum verdict judge_ended(const struct operation *o, struct span name, struct plan *p) {
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

// ---- Poolings

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

enum verdict judge_pooling(const struct operation *o, struct pooling *p, struct span *problem) {
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

// ---- Batch norms

bool judge_norm(const struct operation *o, struct norm *p) {
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
      if (type.rank < 0 || type.rank > 4 || !some(type.sizes, type.rank)) return false;
      int64_t size = 1, want = 1;
      for (int axis = 0; axis < type.rank; axis++) size *= type.sizes[axis];
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

// ---- Updates

bool judge_update(const struct operation *o, struct update *p) {
  static const struct {
    int operands, results, numbers; // the last: how many the step has at least
  } SIZES[] = {
    [DESCENT] = {4, 2, REST + 1}, [ADAM] = {5, 3, REST + 1}, [DECAYED] = {5, 3, REST + 1}, [AVERAGE] = {3, 1, 1}};
  int operands = SIZES[p->kind].operands, results = SIZES[p->kind].results;
  struct tensor_type type;
  if (o->operand_count != operands || o->type_count != operands || o->result_count != results) return false;
  for (int i = 0; i < operands - 1; i++)
    if (!same(o->types[i], o->types[0])) return false;
  for (int i = 0; i < results; i++)
    if (!same(o->results[i], o->types[0])) return false;
  if (!read_type(o->types[operands - 1], &type) || !is(type.element, "f32") || type.rank < 0 || type.rank > 1)
    return false;
  if ((type.rank ? type.sizes[0] : 1) < SIZES[p->kind].numbers) return false;
  if (!read_type(o->types[0], &type) || !is(type.element, "f32") || type.rank < 0 || type.rank > 4) return false;
  if (!some(type.sizes, type.rank)) return false;
  p->size = 1;
  for (int axis = 0; axis < type.rank; axis++) p->size *= type.sizes[axis];
  return true;
}
