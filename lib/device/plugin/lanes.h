// Vectors of neighbouring channels, and functions for each width that processors have.

#pragma once

#include <stdint.h>
#include <string.h>

enum { FEW = 4 }; // channels that are computed at once where there are fewer than a vector has lanes

// PICK is one vector where the mask is set and another one elsewhere.
#define PICK(set, one, other) ((vector)(((set) & (mask)(one)) | (~(set) & (mask)(other))))

// ALL is a vector of the same number.
#define ALL(number) ((number) - (vector){0})

// LOAD is a vector whose first n lanes are numbers in memory, and STORE writes them there.
#define LOAD(v, from, n)                                                                                               \
  vector v = {0};                                                                                                      \
  memcpy(&v, from, (n) * sizeof(float))
#define STORE(to, v, n) memcpy(to, &v, (n) * sizeof(float))

// EACH_BLOCK does something with c and n for all channels, n of them from c on at once. The compiler knows n, but for
// the rest.
#define EACH_BLOCK(channels, something)                                                                                \
  do {                                                                                                                 \
    int64_t c = 0;                                                                                                     \
    for (const size_t n = LANES; c + LANES <= (channels); c += LANES) something;                                       \
    for (const size_t n = FEW; c + FEW <= (channels); c += FEW) something;                                             \
    for (size_t n = (size_t)((channels) - c); c < (channels); c = (channels)) something;                               \
  } while (0)

// A file with functions for one width is included for each. LANES is how many channels a vector has: as many as fit
// into one of the processor's, because GCC takes wider ones apart through memory. TARGET chooses the processor, and
// NAME is how the functions' names end; INSIDE begins one that becomes a part of others.
#define NAMED_(function, name) function##name
#define NAMED__(function, name) NAMED_(function, name)
#define NAMED(function) NAMED__(function, NAME)
#define INSIDE TARGET static inline __attribute__((always_inline))
#define vector NAMED(vector)
#define mask NAMED(mask)
#define VECTORS                                                                                                        \
  typedef float vector __attribute__((vector_size(LANES * sizeof(float))));                                            \
  typedef int32_t mask __attribute__((vector_size(LANES * sizeof(float))))
