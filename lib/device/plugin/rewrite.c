// The rewriting of programs that XLA compiles for the CPU: StableHLO as text, which go-xla writes and stablehlo.c
// reads. Convolutions, and maxima over windows and their gradients, are replaced by calls of the handlers, and so are
// calls of functions that packages nn and train name for it: batch norms, convolutions with a bias, and updates. A
// program that package train names for it computes its variables' new values in the memory of the old ones.
//
// `make setup` builds the library onednn.so of this and the files beside it, where oneDNN is, and plugin.c, the plugin
// in front of XLA's, loads it: without either, XLA does all by itself.

#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "judge.h"

// rewriting is a program on its way to another one.
struct rewriting {
  struct reader reader;
  const char *program, *copied; // up to where it is written
  FILE *out;
  struct span result;         // the value that the next operation gives
  const char *list;           // where a list of values began that may be results, or NULL
  struct reversed *reversals; // those of the function so far
  int reversal_count;
  int in_place; // as many of the program's results as this are in the memory of its arguments
  int changed;  // operations, and lists of arguments
  char *problem;
};

// reversed is a value that is another one, reversed in height and width.
struct reversed {
  struct span result, of;
};

enum { SHOWN = 100 }; // most of a program's text in a message

// fail notes what cannot be read, in one line.
static void fail(struct rewriting *w, const char *operation, struct span what) {
  if (w->problem) return;
  int line = 1;
  for (const char *at = w->program; at < w->reader.token.text.at; at++) line += *at == '\n';
  int name = w->result.size < SHOWN ? (int)w->result.size : SHOWN, text = what.size < SHOWN ? (int)what.size : SHOWN;
  if (asprintf(&w->problem,
        "cannot read the %s in line %d of the program (%.*s): %.*s: "
        "set CONVBOOK_ONEDNN=off to compute without oneDNN, which is slower",
        operation, line, name, w->result.at, text, what.at) < 0)
    abort();
  for (char *at = w->problem; *at; at++)
    if (*at == '\n' || *at == '\r') *at = ' ';
}

static const struct reversed *reversal(const struct rewriting *w, struct span value) {
  for (int i = 0; i < w->reversal_count; i++)
    if (same(w->reversals[i].result, value)) return w->reversals + i;
  return NULL;
}

// forget drops what is known of a value, which is defined anew.
static void forget(struct rewriting *w, struct span value) {
  const struct reversed *known = reversal(w, value);
  if (known) w->reversals[known - w->reversals] = w->reversals[--w->reversal_count];
}

// forget_list forgets the values of a list that ends before the next token: results of an operation.
static void forget_list(struct rewriting *w) {
  struct reader results = reader_of((struct span){w->list, (size_t)(w->reader.token.text.at - w->list)});
  for (; results.token.kind != END; advance(&results))
    if (results.token.kind == VALUE) forget(w, results.token.text);
}

// follow keeps the books of which names are given anew: to %a, %b = results, and to (%c: type) arguments of a block.
static void follow(struct rewriting *w) {
  const struct token *next = &w->reader.token, *before = &w->reader.before;
  bool count = next->kind == WORD && before->kind == ':'; // in %a:2 =
  if (next->kind == VALUE) {
    w->result = next->text;
    if (before->kind != ',' || !w->list) w->list = next->text.at;
    return;
  }
  if (next->kind == ':' && before->kind == VALUE) forget(w, before->text);
  if (next->kind == '=' && w->list) forget_list(w);
  if (next->kind != ',' && next->kind != ':' && !count) w->list = NULL;
}

// note_reversal notes what a value is the reverse of, if it is that in height and width.
static void note_reversal(struct rewriting *w) {
  struct reader ahead = w->reader;
  struct operation o;
  const char *problem = read_operation(&ahead, &o);
  int64_t axes[2];
  int count = problem ? -1 : read_integers(value_of(&o, "dimensions"), axes, 2);
  if (count < 0 || o.operand_count != 1) fail(w, "reversal", text_of(problem ? problem : "dimensions"));
  if (count != 2 || axes[0] + axes[1] != 1 || axes[0] * axes[1] != 0) return;
  w->reversals = realloc(w->reversals, (size_t)(w->reversal_count + 1) * sizeof *w->reversals);
  if (!w->reversals) abort();
  w->reversals[w->reversal_count++] = (struct reversed){w->result, o.operands[0]};
}

// write_layouts writes the order of arrays' axes in memory: as they are named.
static void write_layouts(FILE *out, const struct span *types, int count) {
  for (int t = 0; t < count; t++) {
    struct tensor_type type = {.rank = 0};
    read_type(types[t], &type);
    fputs(t ? ", dense<[" : "dense<[", out);
    for (int i = type.rank - 1; i >= 0; i--) fprintf(out, i ? "%d, " : "%d", i);
    fprintf(out, "]> : tensor<%dxindex>", type.rank);
  }
}

// write_call writes the program up to an operation, and a call in its place that has its types, and the plan.
static void write_call(
  struct rewriting *w, const struct operation *o, const char *target, const void *plan, int size, struct span more) {
  fwrite(w->copied, 1, (size_t)(o->name.at - w->copied), w->out);
  fputs("\"stablehlo.custom_call\"(", w->out);
  for (int i = 0; i < o->operand_count; i++)
    fprintf(w->out, "%s%.*s", i ? ", " : "", (int)o->operands[i].size, o->operands[i].at);
  fprintf(w->out, ") {\napi_version = 4 : i32, call_target_name = \"%s\", has_side_effect = false, ", target);
  fputs("backend_config = {plan = array<i64", w->out);
  for (int i = 0; i < size; i++) fprintf(w->out, "%s %jd", i ? "," : ":", (intmax_t)((const int64_t *)plan)[i]);
  fputs(">}, operand_layouts = [", w->out);
  write_layouts(w->out, o->types, o->type_count);
  fputs("], result_layouts = [", w->out);
  write_layouts(w->out, o->results, o->result_count);
  fprintf(w->out, "]%.*s\n}", (int)more.size, more.at);
  w->copied = o->behind;
  w->changed++;
}

static void hand_over_convolution(struct rewriting *w) {
  struct reader ahead = w->reader;
  struct operation o;
  const char *unread = read_operation(&ahead, &o);
  if (unread) {
    fail(w, "convolution", text_of(unread));
    return;
  }
  const struct reversed *weights = reversal(w, o.operands[1]);
  struct plan plan = {.ending = NOTHING};
  struct span problem;
  switch (judge_convolution(&o, weights != NULL, &plan, &problem)) {
  case UNREADABLE:
    fail(w, "convolution", problem);
    break;
  case LEFT:
    break;
  case HANDED:
    if (plan.kind == BY_IMAGES) o.operands[1] = weights->of;
    write_call(w, &o, CONVOLUTION, &plan, PLAN, text_of(""));
  }
}

// hand_over_pooling hands over a pooling by the largest value.
static void hand_over_pooling(struct rewriting *w, int64_t kind) {
  static const char *const NAMES[] = {[MAXIMA] = "pooling", [GRADIENT] = "gradient of a pooling"};
  struct reader ahead = w->reader;
  struct operation o;
  struct pooling plan = {.kind = kind};
  struct span problem;
  const char *unread = read_operation(&ahead, &o);
  if (unread) {
    fail(w, NAMES[kind], text_of(unread));
    return;
  }
  bool largest = kind == MAXIMA ? o.region_count == 1 && region_does(o.regions[0], "\"stablehlo.maximum\"", NULL)
                                : o.region_count == 2 && region_does(o.regions[0], "\"stablehlo.compare\"", "GE") &&
                                    region_does(o.regions[1], "\"stablehlo.add\"", NULL);
  if (!largest) return;
  enum verdict verdict = judge_pooling(&o, &plan, &problem);
  if (verdict == UNREADABLE) fail(w, NAMES[kind], problem);
  if (verdict == HANDED) write_call(w, &o, POOL, &plan, POOLING, text_of(""));
}

static void hand_over_maxima(struct rewriting *w) { hand_over_pooling(w, MAXIMA); }

static void hand_over_gradient(struct rewriting *w) { hand_over_pooling(w, GRADIENT); }

// behind is what a text has behind its beginning, and tells whether it has that.
static bool behind(struct span text, const char *beginning, struct span *rest) {
  size_t size = strlen(beginning);
  *rest = (struct span){text.at + size, text.size - size};
  return text.size >= size && !memcmp(text.at, beginning, size);
}

// hand_over_ended hands over a call of a convolution with a bias, or leaves it to XLA: the function does the same.
static bool hand_over_ended(struct rewriting *w, const struct operation *o, struct span callee) {
  struct plan plan = {.type = dnnl_f32};
  struct span name;
  if (behind(callee, "@convbook_convolution_relu_", &name)) plan.ending = BIAS_AND_RELU;
  else if (behind(callee, "@convbook_convolution_", &name)) plan.ending = BIAS;
  else return false;
  enum verdict verdict = judge_ended(o, name, &plan);
  if (verdict == HANDED) write_call(w, o, CONVOLUTION, &plan, PLAN, text_of(""));
  return verdict != UNREADABLE;
}

// hand_over_norm hands over a call of a batch norm. There is nobody else who could compute it.
static bool hand_over_norm(struct rewriting *w, const struct operation *o, struct span callee) {
  static const struct {
    const char *name;
    int64_t kind, relu;
  } NORMS[] = {
    {"@convbook_batch_norm_relu_gradient_", BACKWARDS, 1},
    {"@convbook_batch_norm_relu_", FORWARDS, 1},
    {"@convbook_batch_norm_gradient_", BACKWARDS, 0},
    {"@convbook_batch_norm_", FORWARDS, 0},
  };
  struct span rest;
  for (size_t i = 0; i < sizeof NORMS / sizeof *NORMS; i++) {
    if (!behind(callee, NORMS[i].name, &rest)) continue;
    struct norm plan = {.kind = NORMS[i].kind, .relu = NORMS[i].relu};
    if (!judge_norm(o, &plan)) return false;
    write_call(w, o, NORMALIZATION, &plan, NORM, text_of(""));
    return true;
  }
  return false;
}

// hand_over_update hands over a call of an update. Its results are in the memory of what they replace. There is nobody
// else who could compute it.
static bool hand_over_update(struct rewriting *w, const struct operation *o, struct span callee) {
  static const char *const NAMES[] = {[DESCENT] = "@convbook_descent_",
    [ADAM] = "@convbook_adam_",
    [DECAYED] = "@convbook_adamw_",
    [AVERAGE] = "@convbook_average_"};
  struct span rest;
  struct update plan = {.kind = DESCENT};
  while (!behind(callee, NAMES[plan.kind], &rest))
    if (plan.kind++ == AVERAGE) return false;
  if (!judge_update(o, &plan)) return false;
  char aliases[512];
  size_t size = (size_t)snprintf(aliases, sizeof aliases, ", output_operand_aliases = [");
  for (int i = 0; i < o->result_count; i++) {
    int replaced = i ? i + 1 : 0; // the gradient is between
    char index[16] = "";
    if (o->result_count > 1) snprintf(index, sizeof index, "%d", i);
    size += (size_t)snprintf(aliases + size, sizeof aliases - size,
      "%s#stablehlo.output_operand_alias<output_tuple_indices = [%s], operand_index = %d, operand_tuple_indices = []>",
      i ? ", " : "", index, replaced);
  }
  snprintf(aliases + size, sizeof aliases - size, "]");
  write_call(w, o, RENEWAL, &plan, UPDATE, text_of(aliases));
  return true;
}

// hand_over_call hands over a call of a function that has one of our names.
static void hand_over_call(struct rewriting *w) {
  struct reader ahead = w->reader;
  struct operation o;
  const char *unread = read_operation(&ahead, &o);
  struct span callee = value_of(&o, "callee"), rest;
  if (!behind(callee, "@convbook_", &rest)) return;
  if (unread) fail(w, "call", text_of(unread));
  else if (!hand_over_ended(w, &o, callee) && !hand_over_norm(w, &o, callee) && !hand_over_update(w, &o, callee))
    fail(w, "call", callee);
}

// IN_PLACE begins the name of a program that changes variables, before their number: its first arguments are their
// values, its first results the new ones.
static const char IN_PLACE[] = "@convbook_in_place_";

enum { VARIABLES = 1 << 20 }; // the most that a program may have

static void note_in_place(struct rewriting *w) {
  struct span number;
  if (!behind(w->reader.token.text, IN_PLACE, &number)) return;
  for (size_t i = 0; i < number.size && number.at[i] >= '0' && number.at[i] <= '9' && w->in_place < VARIABLES; i++)
    w->in_place = 10 * w->in_place + number.at[i] - '0';
}

// hand_over_arguments says of the main function's first arguments that their memory is that of the first results. XLA
// copies them by itself where whoever calls the program wants to keep them.
static void hand_over_arguments(struct rewriting *w) {
  struct signature s;
  struct span argument = w->reader.token.text, result;
  bool read = begin_signature(w->reader, &s);
  for (int i = 0; read && i < w->in_place; i++) {
    read = next_pair(&s, &argument, &result) && same(argument, result);
    if (!read) break;
    const char *end = argument.at + argument.size;
    fwrite(w->copied, 1, (size_t)(end - w->copied), w->out);
    fprintf(w->out, " {tf.aliasing_output = %d : i32}", i);
    w->copied = end;
  }
  if (!read) fail(w, "main function", argument);
  w->in_place = 0; // a second function of that name has nothing to do with it
  w->changed++;
}

// visit looks at the next token, which may be the name of an operation.
static void visit(struct rewriting *w) {
  static const struct {
    const char *word, *name, *what;
    void (*read)(struct rewriting *w);
  } OPERATIONS[] = {
    {"stablehlo.convolution", "\"stablehlo.convolution\"", "convolution", hand_over_convolution},
    {"stablehlo.reverse", "\"stablehlo.reverse\"", "reversal", note_reversal},
    {"func.call", "\"func.call\"", "call", hand_over_call},
    {"stablehlo.reduce_window", "\"stablehlo.reduce_window\"", "pooling", hand_over_maxima},
    {"stablehlo.select_and_scatter", "\"stablehlo.select_and_scatter\"", "gradient of a pooling", hand_over_gradient},
  };
  struct token next = w->reader.token;
  if (next.text.at < w->copied) return; // in the regions or attributes of what was handed over
  follow(w);
  if (next.kind == SIGNED && is(w->reader.before.text, "module")) note_in_place(w);
  if (next.kind == SIGNED && is(next.text, "@main") && w->in_place) hand_over_arguments(w);
  for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++) {
    if (next.kind == WORD && is(next.text, OPERATIONS[i].word))
      fail(w, OPERATIONS[i].what, text_of("it has no quotes"));
    if (next.kind != STRING || !is(next.text, OPERATIONS[i].name)) continue;
    struct reader ahead = w->reader;
    advance(&ahead);
    if (ahead.token.kind == '(') OPERATIONS[i].read(w); // otherwise it is only a text
  }
}

// rewrite returns the program with its convolutions handed to oneDNN and its poolings to pool.c, in new memory, or NULL
// where nothing changes. It is NULL, too, if one of them cannot be read: problem is a line then, in new memory.
__attribute__((visibility("default"))) char *rewrite(
  const char *program, size_t size, size_t *written, char **problem) {
  char *rewritten = NULL;
  struct rewriting w = {.reader = reader_of((struct span){program, size}), .program = program, .copied = program};
  *problem = NULL;
  if (memchr(program, 0, size)) {
    *problem = strdup("cannot read the program, which is not text: set CONVBOOK_ONEDNN=off to compute without oneDNN");
    return NULL;
  }
  if (!(w.out = open_memstream(&rewritten, written))) abort();
  for (; w.reader.token.kind != END && !w.problem; advance(&w.reader)) visit(&w);
  fwrite(w.copied, 1, (size_t)(program + size - w.copied), w.out);
  free(w.reversals);
  *problem = w.problem;
  if (!fclose(w.out) && w.changed && !w.problem) return rewritten;
  free(rewritten);
  return NULL;
}
