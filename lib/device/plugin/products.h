// Convolutions by products of matrices, one for each pair of a pixel of the map and a place of the window. Where most
// of a window lies outside of the map, as at the end of a deep network, that is faster than any of oneDNN's operations
// for convolutions, as it multiplies no zeros.

#pragma once

#include <stdbool.h>

#include "convolve.h"

// mostly_outside tells whether products of matrices are faster than oneDNN's convolutions, which they are from a
// quarter of zeros on, if the matrices are large enough and lie as images and weights usually do.
bool mostly_outside(const struct plan *p);

// multiply does a part of a convolution, and what the plan has it end with, and tells whether it could. The parts are
// of the images, but those of the gradient by the weights are of x's channels.
bool multiply(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts);
