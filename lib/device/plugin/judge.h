// What becomes of an operation of a program: it is read, and a plan is made of it if it is one that is computed here.
//
// What oneDNN has no fast code for stays with XLA: other layouts, groups, and other types than float32 or, where the
// processor multiplies it, bfloat16. What cannot be read is an error: nobody would notice otherwise that all are slow.

#pragma once

#include <stdbool.h>

#include "convolve.h"
#include "norm.h"
#include "pool.h"
#include "stablehlo.h"
#include "update.h"

enum verdict { HANDED, LEFT, UNREADABLE }; // over to what computes it here, to XLA, and an error

// judge_convolution reads a convolution and makes a plan of it. Its weights are as they are, or those of a layer,
// reversed in their first two axes. What it cannot read goes to problem.
enum verdict judge_convolution(const struct operation *o, bool reversed, struct plan *p, struct span *problem);

// judge_ended makes a plan of a convolution with a bias, whose ending it has. Its stride and padding are what its name
// ends with.
enum verdict judge_ended(const struct operation *o, struct span name, struct plan *p);

// judge_pooling reads a pooling of the plan's kind, whose images are its first operand, and makes a plan of it. What it
// cannot read goes to problem.
enum verdict judge_pooling(const struct operation *o, struct pooling *p, struct span *problem);

// judge_norm makes a plan of a call's types, and tells whether they are those of a norm of the plan's kind.
bool judge_norm(const struct operation *o, struct norm *p);

// judge_update makes a plan of a call's types, and tells whether they are those of an update of the plan's kind.
bool judge_update(const struct operation *o, struct update *p);
