// What is computed with each width of vectors that this processor has, compared with the narrowest.

#define _GNU_SOURCE
#include <stdio.h>

#include "../norm.c"
#include "../pool.c"
#include "../threads.c"
#include "../update.c"

enum { PIXELS = 37, MOST = 70 }; // channels

static float x[PIXELS * MOST], pull[PIXELS * MOST], room[5 * MOST], got[2][PIXELS * MOST];

static void fill(float *values, int count) {
  for (int i = 0; i < count; i++) values[i] = (float)rand() / (float)RAND_MAX - 0.5f;
}

// far tells whether two arrays differ, and how, if they do.
static bool far(const char *what, int channels, int count) {
  for (int i = 0; i < count; i++)
    if (!(fabsf(got[0][i] - got[1][i]) < 1e-4f)) {
      printf("%s of %d channels: value %d is %g, with wider vectors %g\n", what, channels, i, (double)got[0][i],
        (double)got[1][i]);
      return true;
    }
  return false;
}

static bool differs(struct pieces wide, struct functions others, int channels) {
  const struct pieces narrow = {moments_of_any, normal_of_any, sums_of_any, gradient_of_any};
  const struct functions windows = {maxima_in_any, gradient_in_any};
  struct factors f = {room, room + MOST, room + 2 * MOST, room + 3 * MOST, room + 4 * MOST};
  struct norm norm = {.channels = channels, .relu = channels % 2};
  struct view v = {.image = x, .rows = {1, 4}, .columns = {0, 2}, .row = 5 * channels, .column = channels};
  const struct pieces *pieces[] = {&narrow, &wide};
  const struct functions *functions[] = {&windows, &others};
  bool failed = false;
  for (int i = 0; i < 2; i++) pieces[i]->moments(x, PIXELS, channels, got[i]);
  failed |= far("moments", channels, 2 * channels);
  for (int i = 0; i < 2; i++) pieces[i]->normal(&norm, &f, x, PIXELS, got[i]);
  failed |= far("normalized values", channels, PIXELS * channels);
  for (int i = 0; i < 2; i++) pieces[i]->sums(&norm, &f, x, pull, PIXELS, got[i]);
  failed |= far("sums", channels, 2 * channels);
  for (int i = 0; i < 2; i++) pieces[i]->gradient(&norm, &f, x, pull, PIXELS, got[i]);
  failed |= far("a norm's gradient", channels, PIXELS * channels);
  for (int i = 0; i < 2; i++) functions[i]->maxima(&v, channels, 0, got[i]);
  failed |= far("maxima", channels, channels);
  memset(got, 0, sizeof got);
  for (int i = 0; i < 2; i++) functions[i]->gradient(&v, channels, pull, got[i]);
  failed |= far("gradient of maxima", channels, PIXELS * channels);
  return failed;
}

// update_differs compares updates of that many numbers.
static bool update_differs(int wide, int64_t kind, int count) {
  static renewal *const OF[][KINDS] = {{descend_any, adam_any, decayed_any, average_any},
    {descend_256, adam_256, decayed_256, average_256}, {descend_512, adam_512, decayed_512, average_512}};
  static const float numbers[] = {0.1f, 0.9f, 0.02f, 3, 0.99f};
  static float squares[MOST];
  for (int i = 0; i < count; i++) squares[i] = x[i] * x[i];
  bool failed = false;
  for (int result = 0; result < 3; result++) {
    for (int i = 0; i < 2; i++) {
      float written[3][MOST] = {0};
      struct update_arrays a = {x, pull, {x + MOST, squares}, numbers, written[0], {written[1], written[2]}};
      OF[i ? wide : 0][kind](&a, count);
      memcpy(got[i], written[result], sizeof written[result]);
    }
    failed |= far("an update", count, count);
  }
  return failed;
}

int main(void) {
  bool failed = false;
  fill(x, PIXELS * MOST);
  fill(pull, PIXELS * MOST);
  fill(room, 5 * MOST);
  for (int channels = 1; channels <= MOST; channels++) {
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      failed |= differs((struct pieces){moments_of_256, normal_of_256, sums_of_256, gradient_of_256},
        (struct functions){maxima_in_avx2, gradient_in_avx2}, channels);
    if (__builtin_cpu_supports("avx512f"))
      failed |= differs((struct pieces){moments_of_512, normal_of_512, sums_of_512, gradient_of_512},
        (struct functions){maxima_in_avx512, gradient_in_avx512}, channels);
    for (int64_t kind = DESCENT; kind < KINDS; kind++) {
      if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) failed |= update_differs(1, kind, channels);
      if (__builtin_cpu_supports("avx512f")) failed |= update_differs(2, kind, channels);
    }
  }
  return failed;
}
