#include "handlers.h"

#include <stdbool.h>
#include <string.h>

#include "convolve.h"
#include "norm.h"
#include "pool.h"
#include "update.h"

static XLA_FFI_Error *failure(XLA_FFI_CallFrame *call) {
  XLA_FFI_Error_Create_Args error = {.struct_size = sizeof error,
    .code = XLA_FFI_Error_Code_INTERNAL,
    .message =
      "a convolution, pooling, batch norm or update failed: set CONVBOOK_ONEDNN=off to compute without oneDNN"};
  return call->api->XLA_FFI_Error_Create(&error);
}

// introduce answers XLA, which asks, as it registers a handler, for which of its versions that is made.
static XLA_FFI_Error *introduce(XLA_FFI_CallFrame *call, XLA_FFI_Metadata_Extension *extension) {
  XLA_FFI_Api_Version *version = &extension->metadata->api_version;
  version->major_version = XLA_FFI_API_MAJOR;
  version->minor_version = XLA_FFI_API_MINOR;
  return call->api->struct_size < sizeof *call->api ? failure(call) : NULL; // then it is not used
}

// answer answers a call: XLA's question, or one for the results that compute writes and tells whether it could.
static XLA_FFI_Error *answer(XLA_FFI_CallFrame *call, bool (*compute)(XLA_FFI_CallFrame *call)) {
  XLA_FFI_Extension_Base *extension = call->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata)
    return introduce(call, (XLA_FFI_Metadata_Extension *)extension);
  return compute(call) ? NULL : failure(call);
}

// plan_in is the plan of a call with that many arguments and results, or NULL if it is not of that size.
static const void *plan_in(XLA_FFI_CallFrame *call, size_t size, int64_t arguments, int64_t results) {
  XLA_FFI_Array *plan = call->attrs.size == 1 ? call->attrs.attrs[0] : NULL;
  return plan && plan->size == size && call->args.size == arguments && call->rets.size == results ? plan->data : NULL;
}

static void *argument(XLA_FFI_CallFrame *call, int i) { return ((XLA_FFI_Buffer *)call->args.values[i])->data; }

static void *result(XLA_FFI_CallFrame *call, int i) { return ((XLA_FFI_Buffer *)call->rets.values[i])->data; }

static bool compute_convolution(XLA_FFI_CallFrame *call) {
  bool biased = call->args.size == 3;
  const struct plan *plan = plan_in(call, PLAN, biased ? 3 : 2, 1);
  if (!plan || (plan->ending != NOTHING) != biased) return false;
  char *first = argument(call, 0), *second = argument(call, 1), *out = result(call, 0);
  float *bias = biased ? argument(call, 2) : NULL;
  const struct convolution_arrays arrays[] = {
    [FORWARD] = {first, second, out, bias},
    [BY_IMAGES] = {out, second, first, bias},
    [BY_WEIGHTS] = {first, out, second, bias},
  };
  return convolve(plan, arrays + plan->kind, call);
}

static bool compute_pooling(XLA_FFI_CallFrame *call) {
  bool gradient = call->args.size == 3;
  const struct pooling *p = plan_in(call, POOLING, gradient ? 3 : 2, 1);
  if (!p || (p->kind == GRADIENT) != gradient) return false;
  struct pooling_arrays arrays = {.x = argument(call, 0),
    .pull = gradient ? argument(call, 1) : NULL,
    .start = argument(call, gradient ? 2 : 1),
    .result = result(call, 0)};
  return pool(p, &arrays, call);
}

static bool compute_norm(XLA_FFI_CallFrame *call) {
  bool backwards = call->args.size == 8;
  const struct norm *norm = plan_in(call, NORM, backwards ? 8 : 5, 3);
  if (!norm || (norm->kind == BACKWARDS) != backwards) return false;
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
  return normalize(norm, &arrays, call);
}

static bool compute_update(XLA_FFI_CallFrame *call) {
  const struct update *update = plan_in(call, UPDATE, call->args.size, call->rets.size);
  if (!update || update->kind < DESCENT || update->kind > AVERAGE) return false;
  static const int KEPT[] = {[DESCENT] = 1, [ADAM] = 2, [DECAYED] = 2, [AVERAGE] = 0};
  int kept = KEPT[update->kind];
  if (call->args.size != 3 + kept || call->rets.size != 1 + kept) return false;
  struct update_arrays arrays = {.value = argument(call, 0),
    .given = argument(call, 1),
    .numbers = argument(call, 2 + kept),
    .result = result(call, 0)};
  for (int i = 0; i < kept; i++) {
    arrays.kept[i] = argument(call, 2 + i);
    arrays.keep[i] = result(call, 1 + i);
  }
  return renew(update, &arrays, call);
}

static XLA_FFI_Error *convolution_handler(XLA_FFI_CallFrame *call) { return answer(call, compute_convolution); }

static XLA_FFI_Error *pooling_handler(XLA_FFI_CallFrame *call) { return answer(call, compute_pooling); }

static XLA_FFI_Error *norm_handler(XLA_FFI_CallFrame *call) { return answer(call, compute_norm); }

static XLA_FFI_Error *update_handler(XLA_FFI_CallFrame *call) { return answer(call, compute_update); }

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
    return open_engine() && register_handler(xla, ffi, CONVOLUTION, convolution_handler) &&
           register_handler(xla, ffi, POOL, pooling_handler) &&
           register_handler(xla, ffi, NORMALIZATION, norm_handler) &&
           register_handler(xla, ffi, RENEWAL, update_handler);
  }
  return false;
}
