// A fuzzer of what reads and rewrites StableHLO in ../stablehlo.c, ../judge.c and ../rewrite.c: no program, however
// broken, may make it read or write beyond its text, compute without end, or change more than convolutions, poolings
// and calls.

#include "../rewrite.c"
#include "../convolve.c"
#include "../judge.c"
#include "../pool.c"
#include "../products.c"
#include "../stablehlo.c"
#include "../threads.c"

#include "driver.h"

static const char PLANNED[] = "backend_config = {plan = array<i64:";

enum { MUCH = 1000 }; // bytes that a call may be longer than the operation

// read_plan reads the numbers of a plan, and returns how many there are, at most as many as it may have.
static int read_plan(const char *call, int64_t *numbers, int most) {
  int count = 0;
  for (; *call != '>' && count < most; count++) {
    char *end;
    numbers[count] = strtoll(call += strcspn(call, "-0123456789"), &end, 10);
    call = end;
  }
  return *call == '>' ? count : -1;
}

// check_pooling wants that a pooling's sizes agree, and that its windows show nothing beyond the images.
static void check_pooling(const struct pooling *p) {
  if (p->x[0] != p->y[0] || p->x[3] != p->y[3] || (p->kind != MAXIMA && p->kind != GRADIENT)) abort();
  for (int i = 0; i < 4; i++)
    if (p->x[i] < 1 || p->y[i] < 1) abort();
  for (int axis = 0; axis < 2; axis++) {
    if (p->window[axis] < 1 || p->stride[axis] < 1) abort();
    for (int64_t y = 0; y < p->y[1 + axis]; y += p->y[1 + axis] > 2 ? p->y[1 + axis] - 1 : 1) { // first and last
      int64_t shown[2];
      clip(p, axis, y, shown);
      if (shown[0] < 0 || shown[1] > p->x[1 + axis]) abort();
    }
  }
}

// check wants that a call's windows lie inside of its map and what is added around it, and that its sizes agree: the
// call would read beyond its arrays.
static void check(const char *call) {
  int64_t numbers[PLAN];
  int count = read_plan(call, numbers, PLAN);
  if (count == NORM) { // sizes are all that it says, and their product is no overflow
    for (int i = 2; i < NORM; i++)
      if (numbers[i] < 1) abort();
    if (__builtin_mul_overflow(numbers[2] * numbers[3], numbers[4], numbers)) abort();
    return;
  }
  if (count == UPDATE) {
    if (numbers[0] < DESCENT || numbers[0] > AVERAGE || numbers[1] < 1 || numbers[1] >= INT64_C(1) << 48) abort();
    return;
  }
  if (count == POOLING) {
    check_pooling((struct pooling *)numbers);
    return;
  }
  if (count != PLAN) abort();
  struct plan p;
  memcpy(&p, numbers, sizeof p);
  for (int i = 0; i < 4; i++)
    if (p.x[i] < 1 || p.w[i] < 1 || p.y[i] < 1) abort();
  for (int i = 0; i < 2; i++)
    if (p.stride[i] < 1 || p.dilation[i] < 1 ||
        (p.y[2 + i] - 1) * p.stride[i] + (p.w[2 + i] - 1) * p.dilation[i] > p.x[2 + i] - 1 + p.before[i] + p.after[i])
      abort();
  if (p.x[0] != p.y[0] || p.x[1] != p.w[1] || p.w[0] != p.y[1]) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (memmem(data, size, PLANNED, strlen(PLANNED))) return 0; // a call that was in the program before
  if (!engine && !open_engine()) abort();
  char *program = malloc(size ? size : 1); // of exactly this size: the sanitizer notices a byte too many
  memcpy(program, data, size);
  size_t written = 0;
  char *problem, *rewritten = rewrite(program, size, &written, &problem);
  if (problem && (rewritten || strchr(problem, '\n') || !strstr(problem, "CONVBOOK_ONEDNN=off"))) abort();
  if (rewritten) {
    int calls = 0;
    for (const char *at = rewritten; (at = strstr(at, PLANNED)); calls++) check(at += strlen(PLANNED));
    if (strlen(rewritten) != written || !calls || written > size + (size_t)calls * MUCH) abort();
  }
  free(problem);
  free(rewritten);
  free(program);
  return 0;
}
