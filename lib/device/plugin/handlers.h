// What XLA's runtime calls through its foreign function interface: a handler for convolutions, one for poolings and one
// for batch norms. A program names them in its calls.

#pragma once

static const char CONVOLUTION[] = "convbook.convolution";
static const char POOL[] = "convbook.pooling";
static const char NORMALIZATION[] = "convbook.norm";
