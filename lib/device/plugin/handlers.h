// What XLA's runtime calls through its foreign function interface: a handler for convolutions, one for poolings, one
// for batch norms and one for updates. A program names them in its calls.

#pragma once

static const char CONVOLUTION[] = "convbook.convolution";
static const char POOL[] = "convbook.pooling";
static const char NORMALIZATION[] = "convbook.norm";
static const char RENEWAL[] = "convbook.update";
