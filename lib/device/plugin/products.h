// Convolutions by products of matrices. Where most of a window lies outside of the map, as at the end of a deep
// network, that is faster than any of oneDNN's operations for convolutions, as it multiplies no zeros. So it is for the
// gradient with respect to the weights on processors without AVX-512, for which oneDNN 3.2 has an older algorithm,
// about half as fast as its others.

#pragma once

#include <stdbool.h>

#include "convolve.h"

// as_products tells whether products of matrices are faster than oneDNN's convolutions, if the matrices are large
// enough and lie as images and weights usually do.
bool as_products(const struct plan *p);

// multiply does a part of a convolution, and what the plan has it end with, and tells whether it could. The parts are
// of the images, but those of the gradient with respect to the weights are of the weights.
bool multiply(const struct plan *p, const struct convolution_arrays *arrays, int part, int parts);
