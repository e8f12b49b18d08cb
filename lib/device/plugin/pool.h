// Maxima over windows, and their gradient: what XLA calls reduce_window with a maximum, and select_and_scatter. XLA
// computes the one window by window and the other value by value.

#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MAXIMA, GRADIENT };

// pooling is all that there is to know about one. A program carries it in each of its calls. Images x and maxima y are
// batch, height, width, channels, as they lie in memory; the gradient by y has y's sizes and that by x has x's. The
// arrays of two are for height and width.
struct pooling {
  int64_t kind, x[4], y[4], window[2], stride[2], before[2];
};

enum { POOLING = sizeof(struct pooling) / sizeof(int64_t) }; // how many numbers it is

// maxima computes count rows of y, of all images' rows one after another, from the first on. least is less than all
// values of x: a window that lies outside has it.
void maxima(const struct pooling *p, const float *x, float least, float *y, int64_t first, int64_t count);

// maxima_gradient computes the gradient by x in one image, of the gradient by y. The first of a window's largest values
// gets all of it, in the order of rows. start is what the sums begin with.
void maxima_gradient(const struct pooling *p, const float *x, const float *pull, float start, float *gradient);
