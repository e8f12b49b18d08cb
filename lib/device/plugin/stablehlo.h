// A reader of programs in StableHLO, MLIR's text. It knows the form that all operations have,
//
//	%result = "dialect.name"(%first, %second) ({region}, ...) {attribute = value, ...} : (type, type) -> type
//
// and the few kinds of values that a convolution or a pooling has. Spaces, line breaks, comments and the order of
// attributes mean nothing to it. It does not judge a program: XLA does.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// span is a piece of a program.
struct span {
  const char *at;
  size_t size;
};

struct span text_of(const char *text);
bool same(struct span a, struct span b);
bool is(struct span a, const char *text);

// token is a string, a name with its sign (%value, @symbol, #attribute, ^block, !type), a word, which may be a number,
// an arrow, or a single character of any other kind. At the end of the program it is empty.
enum token_kind { END, STRING = '"', VALUE = '%', SIGNED = '@', WORD = 'a', ARROW = 256 };

struct token {
  int kind; // one of token_kind, or the character itself
  struct span text;
};

// reader goes through a program from token to token.
struct reader {
  const char *at, *end;
  struct token token, before; // the next one, and the one before it
};

struct reader reader_of(struct span text);
void advance(struct reader *r);

enum { OPERANDS = 8, RESULTS = 3, REGIONS = 2, ATTRIBUTES = 16 }; // the most that an operation here may have

struct attribute {
  struct span name, value;
};

// operation is what read_operation found.
struct operation {
  struct span name; // with its quotes
  struct span operands[OPERANDS];
  struct span regions[REGIONS]; // without their braces
  struct attribute attributes[ATTRIBUTES];
  struct span types[OPERANDS], results[RESULTS];
  int operand_count, region_count, attribute_count, type_count, result_count;
  const char *behind; // its attributes: where the colon before the types is
};

// read_operation reads an operation whose name is the next token. It returns NULL, or what it could not read.
const char *read_operation(struct reader *r, struct operation *o);

// region_does tells whether all that a region does is that operation, its name in quotes, on its two arguments in their
// order. It is a comparison in the direction, unless that is NULL.
bool region_does(struct span region, const char *operation, const char *direction);

// signature is what a function takes and gives: (%a: type, %b: type) -> (type, type).
struct signature {
  struct reader argument, result; // the next ones
};

// begin_signature begins to read the signature of a function whose name is the next token.
bool begin_signature(struct reader at, struct signature *s);

// next_pair reads the types of the next argument and of the next result.
bool next_pair(struct signature *s, struct span *argument, struct span *result);

// value_of is the value of an operation's attribute, empty if it has none of that name.
struct span value_of(const struct operation *o, const char *name);

// A number that is larger than LARGE is read as LARGE + 1, and one below -LARGE as -LARGE - 1.
enum { LARGE = 1 << 24 };

// read_integers reads array<i64: 1, 2>, keeps at most that many numbers, and returns how many there are, or -1 if it is
// no such array.
int read_integers(struct span value, int64_t *numbers, int most);

// The following read a value as a whole, and tell whether it is one.

// read_integer reads one such as 1 : i64.
bool read_integer(struct span value, int64_t *number);
// read_bools reads array<i1: false, true> of exactly that many.
bool read_bools(struct span value, bool *bools, int count);
// read_tensor reads dense<[[0, 1], [2, 3]]> : tensor<2x2xi64> of exactly that many numbers, or one number for all.
bool read_tensor(struct span value, int64_t *numbers, int count);

// tensor_type is what a type such as tensor<16x7x7x64xf32> says.
struct tensor_type {
  int64_t sizes[4]; // the first four
  int rank;         // -1 if a size is not known before the program runs
  struct span element;
};

// read_type reads a tensor's type.
bool read_type(struct span text, struct tensor_type *type);

// axes are the names of axes, such as [b, 0, 1, f], each of one letter or digit.
struct axes {
  char names[4];
  int count; // may be more than four
};

// read_axes reads #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>: those of the images, the weights and the
// result.
bool read_axes(struct span value, struct axes axes[3]);
