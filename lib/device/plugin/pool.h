// Maxima over windows, and their gradient: what XLA calls reduce_window with a maximum, and select_and_scatter. XLA
// computes the one window by window and the other value by value.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "threads.h"

enum { MAXIMA, GRADIENT };

// pooling is all that there is to know about one. A program carries it in each of its calls. Images x and maxima y are
// batch, height, width, channels, as they lie in memory; the gradient with respect to y has y's sizes and that with
// respect to x has x's. The arrays of two are for height and width.
struct pooling {
  int64_t kind, x[4], y[4], window[2], stride[2], before[2];
};

enum { POOLING = sizeof(struct pooling) / sizeof(int64_t) }; // how many numbers it is

// pooling_arrays are what a pooling reads: images x and, for the gradient with respect to them, that with respect to
// the maxima; and what the maxima, or the sums of the gradient, begin with: a window that lies outside has it. The
// result is of y's or x's size.
struct pooling_arrays {
  const float *x, *pull, *start;
  float *result;
};

// pool computes a pooling on a call's threads, and tells whether it could. The first of a window's largest values gets
// all of its gradient, in the order of rows.
bool pool(const struct pooling *p, const struct pooling_arrays *arrays, XLA_FFI_CallFrame *call);
