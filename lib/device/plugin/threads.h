// Work that is divided among the threads on which XLA computes.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "xla.h"

// thread_count is how many processors this process may use. XLA has more threads than that.
int thread_count(void);

// parts_of is into how many parts a number of things is divided for them.
int parts_of(int64_t things);

// range divides a number of things among parts.
int64_t range(int64_t things, int part, int parts, int64_t *first);

// each does the parts of a piece of work, on the call's threads, and tells whether all were done.
bool each(XLA_FFI_CallFrame *call, int parts, bool (*part)(void *work, int i), void *work);
