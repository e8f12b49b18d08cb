// A fuzzer of what reads and rewrites StableHLO in ../stablehlo.c and ../onednn.c: no program, however broken, may make
// it read or write beyond its text, compute without end, or change more than convolutions.

#include "../onednn.c"
#include "../stablehlo.c"

#include "driver.h"

static const char PLANNED[] = "backend_config = {plan = array<i64:";

enum { MUCH = 1000 }; // bytes that a convolution's call may be longer than the convolution

// check wants that a call's windows lie inside of its map and what is added around it, and that its sizes agree: the
// call would read beyond its arrays.
static void check(const char *call) {
  struct plan p;
  for (int i = 0; i < PLAN; i++) {
    char *end;
    ((int64_t *)&p)[i] = strtoll(call += strcspn(call, "-0123456789"), &end, 10);
    call = end;
  }
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
  if (!engine && dnnl_engine_create(&engine, dnnl_cpu, 0)) abort();
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
