#include "norm.h"

#include <math.h>
#include <stdlib.h>

#include "lanes.h"

// factors are what a piece of an image needs of each channel: y is (x − mean) · factor + shift, and the gradient with
// respect to x is (g − constant − (x − mean) · slope) · factor.
struct factors {
  float *mean, *factor, *shift, *constant, *slope;
};

enum { FACTORS = sizeof(struct factors) / sizeof(float *) };

#define TARGET __attribute__((target("avx512f")))
#define LANES 16
#define NAME _512
#include "channels.h"

#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define NAME _256
#include "channels.h"

#define TARGET
#define LANES 4
#define NAME _any
#include "channels.h"

// pieces are functions for a piece of an image, by this processor.
struct pieces {
  void (*moments)(const float *x, int64_t pixels, int64_t channels, float *moments);
  void (*normal)(const struct norm *norm, const struct factors *f, const float *x, int64_t pixels, float *y);
  void (*sums)(
    const struct norm *norm, const struct factors *f, const float *x, const float *pull, int64_t pixels, float *sums);
  void (*gradient)(
    const struct norm *norm, const struct factors *f, const float *x, const float *pull, int64_t pixels, float *result);
};

static struct pieces pieces_here(void) {
  if (__builtin_cpu_supports("avx512f"))
    return (struct pieces){moments_of_512, normal_of_512, sums_of_512, gradient_of_512};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return (struct pieces){moments_of_256, normal_of_256, sums_of_256, gradient_of_256};
  return (struct pieces){moments_of_any, normal_of_any, sums_of_any, gradient_of_any};
}

enum { PIECE = 32768 }; // numbers of an image that are gone through twice while the processor's cache holds them

// task is a norm, divided into pieces of images, which depend on nothing but its sizes: so do the sums over them.
//
// A vector takes up to 16 neighbours. Where that is no divisor of the number of channels, some pixels together are
// treated as one pixel with as many times the channels, if that can be done.
struct task {
  struct norm norm; // of such pixels
  const struct norm_arrays *arrays;
  struct pieces here;
  struct factors factors;
  int64_t together, channels; // pixels that are one, and channels of each of them
  int64_t per_image, count;   // pieces
  int parts;
  float *found; // of each piece, two numbers a channel
};

// piece finds a piece: its image, its first pixel of all, and how many it has. It tells whether the image counts.
static bool piece(const struct task *t, int64_t i, int64_t *first, int64_t *pixels) {
  int64_t image = i / t->per_image;
  *pixels = range(t->norm.pixels, (int)(i % t->per_image), (int)t->per_image, first);
  *first += image * t->norm.pixels;
  return t->arrays->share[image] != 0;
}

// first_pass finds what is to be summed up of the pieces of a part.
static bool first_pass(void *work, int part) {
  const struct task *t = work;
  const struct norm_arrays *a = t->arrays;
  int64_t channels = t->norm.channels, first, at, pixels, count = range(t->count, part, t->parts, &first);
  for (int64_t i = first; i < first + count; i++) {
    if (!piece(t, i, &at, &pixels)) continue;
    float *found = t->found + 2 * i * channels;
    const float *x = a->x + at * channels;
    if (t->norm.kind == FORWARDS) t->here.moments(x, pixels, channels, found);
    else t->here.sums(&t->norm, &t->factors, x, a->pull + at * channels, pixels, found);
  }
  return true;
}

// second_pass writes the results of the pieces of a part.
static bool second_pass(void *work, int part) {
  const struct task *t = work;
  const struct norm_arrays *a = t->arrays;
  int64_t channels = t->norm.channels, first, at, pixels, count = range(t->count, part, t->parts, &first);
  for (int64_t i = first; i < first + count; i++) {
    bool counts = piece(t, i, &at, &pixels);
    const float *x = a->x + at * channels;
    float *result = a->result + at * channels;
    if (t->norm.kind == FORWARDS) t->here.normal(&t->norm, &t->factors, x, pixels, result);
    else if (counts) t->here.gradient(&t->norm, &t->factors, x, a->pull + at * channels, pixels, result);
    else memset(result, 0, (size_t)(pixels * channels) * sizeof *result);
  }
  return true;
}

// totals are what the pieces' sums come to for a channel.
struct totals {
  double values, sums[2]; // sums is mean and squares forwards, and of gradients and products backwards
};

// join adds what was found of some values of a channel. Forwards, that is their mean and their squared distances from
// it (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979).
static void join(struct totals *t, bool moments, double values, double first, double second) {
  double all = t->values + values, apart = first - t->sums[0];
  t->sums[0] += moments ? apart * values / all : first;
  t->sums[1] += moments ? second + apart * apart * t->values * values / all : second;
  t->values = all;
}

// totals_of joins what was found of a channel.
static struct totals totals_of(const struct task *t, int64_t channel) {
  struct totals totals = {0};
  for (int64_t i = 0; i < t->count; i++) {
    int64_t at, pixels;
    if (!piece(t, i, &at, &pixels)) continue;
    const float *found = t->found + 2 * i * t->norm.channels + channel;
    for (int64_t k = 0; k < t->together; k++, found += t->channels)
      join(&totals, t->norm.kind == FORWARDS, (double)pixels, found[0], found[t->norm.channels]);
  }
  return totals;
}

// inverse_of is one by a channel's deviation. The factor must be the same to the last bit wherever it is needed: it
// decides which values the ReLU lets through.
static float inverse_of(const struct norm_arrays *a, int64_t channel) {
  return 1 / sqrtf(a->variance[channel] + *a->epsilon);
}

// spread writes a channel's number into each of the pixels that are treated as one.
static void spread(const struct task *t, float *numbers, int64_t channel, float number) {
  for (int64_t c = channel; c < t->norm.channels; c += t->channels) numbers[c] = number;
}

// write_factors writes what is needed of a channel once its mean and variance are known.
static void write_factors(const struct task *t, int64_t channel) {
  const struct norm_arrays *a = t->arrays;
  spread(t, t->factors.mean, channel, a->mean[channel]);
  spread(t, t->factors.factor, channel, a->scale[channel] * inverse_of(a, channel));
  spread(t, t->factors.shift, channel, a->shift[channel]);
}

// conclude writes what the totals of a channel say, and what the second pass needs of it.
static void conclude(const struct task *t, int64_t channel) {
  const struct norm_arrays *a = t->arrays;
  const struct totals totals = totals_of(t, channel);
  if (t->norm.kind == FORWARDS) {
    a->mean[channel] = (float)totals.sums[0];
    a->variance[channel] = (float)(totals.sums[1] / totals.values);
    write_factors(t, channel);
    return;
  }
  float inverse = inverse_of(a, channel);
  a->by_shift[channel] = (float)totals.sums[0];
  a->by_scale[channel] = (float)(totals.sums[1] * inverse);
  spread(t, t->factors.constant, channel, (float)(totals.sums[0] / totals.values));
  spread(t, t->factors.slope, channel, (float)(totals.sums[1] * inverse * inverse / totals.values));
}

enum { WIDEST = 16 }; // lanes that a vector has at most
enum { MANY = 1024 }; // channels that pixels may have together

// together is how many pixels are treated as one.
static int64_t together(const struct norm *norm) {
  int64_t pixels = WIDEST;
  while (pixels % 2 == 0 && norm->channels * pixels / 2 % WIDEST == 0) pixels /= 2;
  return norm->pixels % pixels || norm->channels * pixels > MANY ? 1 : pixels;
}

bool normalize(const struct norm *norm, const struct norm_arrays *a, XLA_FFI_CallFrame *call) {
  struct task t = {.norm = *norm, .arrays = a, .here = pieces_here(), .channels = norm->channels};
  t.together = together(norm);
  t.norm.channels *= t.together;
  t.norm.pixels /= t.together;
  t.per_image = t.norm.pixels * t.norm.channels / PIECE + 1;
  if (t.per_image > t.norm.pixels) t.per_image = t.norm.pixels;
  t.count = norm->batch * t.per_image;
  t.parts = parts_of(t.count);
  int64_t channels = t.norm.channels;
  float *room = malloc((size_t)((2 * t.count + FACTORS) * channels) * sizeof *room);
  if (!room) return false;
  t.factors = (struct factors){room, room + channels, room + 2 * channels, room + 3 * channels, room + 4 * channels};
  t.found = room + FACTORS * channels;
  for (int64_t c = 0; norm->kind == BACKWARDS && c < t.channels; c++) write_factors(&t, c);
  bool done = each(call, t.parts, first_pass, &t);
  for (int64_t c = 0; done && c < t.channels; c++) conclude(&t, c);
  done = done && each(call, t.parts, second_pass, &t);
  free(room);
  return done;
}
