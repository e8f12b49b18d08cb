// What a training step does with each of its many arrays that are kept: an optimizer's step on a parameter, and a batch
// norm's running averages. XLA makes a function of its own for each size of them, and compiling those takes longer than
// all the rest of a deep network.
//
// The results are those of XLA, bit for bit, where the processor multiplies and adds at once.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "threads.h"

// DESCENT is SGD with momentum, ADAM is Adam, and DECAYED is AdamW; AVERAGE is that of a batch norm.
enum { DESCENT, ADAM, DECAYED, AVERAGE };

// update is all that there is to know about one. A program carries it in each of its calls.
struct update {
  int64_t kind, size;
};

enum { UPDATE = sizeof(struct update) / sizeof(int64_t) }; // how many numbers it is

// update_arrays are what an update reads and writes: a parameter, its gradient, what the optimizer keeps of it, and the
// step's numbers; or an average, what comes to it, and what that is multiplied by. A result may be in the memory of
// what it replaces.
struct update_arrays {
  const float *value, *given, *kept[2], *numbers;
  float *result, *keep[2];
};

// The step's numbers are in this order, as package train has them.
enum { RATE, MOMENTUM, CORRECTED, SPREAD, REST };

// renew computes an update on a call's threads, and tells whether it could.
bool renew(const struct update *update, const struct update_arrays *arrays, XLA_FFI_CallFrame *call);
