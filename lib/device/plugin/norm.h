// Batch norm in training, and its gradient, with or without a ReLU behind it. XLA makes some ten loops of it, each of
// which goes through all images.
//
// A batch may have images that only fill it up. They have no share in anything, and no gradient.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "threads.h"

enum { FORWARDS, BACKWARDS };

// norm is all that there is to know about one. A program carries it in each of its calls. Images are batch, pixels,
// channels, as they lie in memory.
struct norm {
  int64_t kind, relu, batch, pixels, channels;
};

enum { NORM = sizeof(struct norm) / sizeof(int64_t) }; // how many numbers it is

// norm_arrays are what a norm reads: images x; of each channel scale and shift; each image's share of a mean over one
// of its pixels in all images, and what is added to the variance. Backwards, also the gradient with respect to the
// result, and mean and variance, which forwards it writes. The result is of x's size, or the gradient with respect to
// x, which comes with those with respect to scale and shift.
struct norm_arrays {
  const float *x, *scale, *shift, *share, *epsilon, *pull;
  float *mean, *variance;
  float *result, *by_scale, *by_shift;
};

// normalize computes a norm on a call's threads, and tells whether it could.
bool normalize(const struct norm *norm, const struct norm_arrays *arrays, XLA_FFI_CallFrame *call);
