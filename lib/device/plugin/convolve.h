// Convolutions by oneDNN. XLA writes a convolution's patches into memory, or calls Eigen, which does; oneDNN keeps them
// in registers. Three of its operations serve the convolutions of a program:
//
//	[b, 0, 1, f] images                              forward
//	[b, 0, 1, f] images and reversed weights         backward by the images
//	[f, 0, 1, b] images: the batch is summed over    backward by the weights

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "oneapi/dnnl/dnnl_types.h"
#include "threads.h"

enum { FORWARD, BY_IMAGES, BY_WEIGHTS };

// plan is all that there is to know about a convolution. A program carries it in each of its calls.
// Sizes and strides are in oneDNN's order: batch, channels, height, width; of the weights filters, channels, height,
// width.
struct plan {
  int64_t kind, type; // of all values: dnnl_f32 or dnnl_bf16
  int64_t x[4], w[4], y[4], x_strides[4], w_strides[4], y_strides[4];
  int64_t stride[2], dilation[2], before[2], after[2];
  int64_t ending; // of the way forward
};

enum { NOTHING, BIAS, BIAS_AND_RELU }; // oneDNN's ReLU gives 0 for what is not a number, where XLA's gives that

enum { PLAN = sizeof(struct plan) / sizeof(int64_t) }; // how many numbers it is

// convolution_arrays are what a convolution reads and writes: images x, weights w and result y, or the gradients with
// respect to them; and the bias, if it has one.
struct convolution_arrays {
  char *x, *w, *y;
  float *bias;
};

// open_engine makes oneDNN ready, which comes before all else here, and tells whether it could.
bool open_engine(void);

// multiplies_bf16 tells whether the processor does; elsewhere oneDNN spends its time on making float32 of it.
bool multiplies_bf16(void);

// computable tells whether a convolution is one that is computed here faster than by XLA.
bool computable(const struct plan *p);

// convolve computes a convolution on a call's threads, and tells whether it could. It keeps what it makes for a plan.
bool convolve(const struct plan *plan, const struct convolution_arrays *arrays, XLA_FFI_CallFrame *call);
