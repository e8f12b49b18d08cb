#include "stablehlo.h"

#include <string.h>

struct span text_of(const char *text) { return (struct span){text, strlen(text)}; }

bool same(struct span a, struct span b) { return a.size == b.size && !memcmp(a.at, b.at, a.size); }

bool is(struct span a, const char *text) { return a.size == strlen(text) && !memcmp(a.at, text, a.size); }

// ---- Tokens

static bool digit(char c) { return c >= '0' && c <= '9'; }

static bool letter(char c) {
  return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

// skip_blank skips spaces and comments.
static void skip_blank(struct reader *r) {
  for (; r->at < r->end; r->at++) {
    if (r->end - r->at > 1 && r->at[0] == '/' && r->at[1] == '/') {
      const char *line = memchr(r->at, '\n', (size_t)(r->end - r->at));
      r->at = line ? line : r->end;
      if (!line) return;
    }
    if (!strchr(" \t\r\n", *r->at)) return;
  }
}

// string_end is where a string ends that begins at its first quote.
static const char *string_end(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\' && at + 1 < end) at++;
  return at < end ? at + 1 : end;
}

// name_end is where a name ends. One with a sign may have a minus in it, which no arrow begins with.
static const char *name_end(const char *at, const char *end, bool with_sign) {
  while (at < end && (letter(*at) || (with_sign && *at == '-' && !(at + 1 < end && at[1] == '>')))) at++;
  return at;
}

void advance(struct reader *r) {
  r->before = r->token;
  skip_blank(r);
  const char *start = r->at;
  int kind = END;
  if (start < r->end) {
    char first = *start, second = '\0';
    if (r->end - start > 1) second = start[1];
    kind = (unsigned char)first;
    r->at++;
    if (first == '"') {
      r->at = string_end(start, r->end);
    } else if (first == '-' && second == '>') {
      kind = ARROW;
      r->at++;
    } else if (letter(first) || (first == '-' && digit(second))) {
      kind = WORD;
      r->at = name_end(r->at, r->end, false);
    } else if (strchr("%@#^!", first)) {
      kind = first == '%' ? VALUE : SIGNED;
      r->at = second == '"' ? string_end(r->at, r->end) : name_end(r->at, r->end, true);
      if (kind == VALUE && r->end - r->at > 1 && r->at[0] == '#' && digit(r->at[1])) // one of several results
        r->at = name_end(r->at + 1, r->end, false);
    }
  }
  r->token = (struct token){kind, {start, (size_t)(r->at - start)}};
}

struct reader reader_of(struct span text) {
  struct reader r = {.at = text.at, .end = text.at + text.size};
  advance(&r);
  return r;
}

// accept goes on if the next token is of that kind.
static bool accept(struct reader *r, int kind) {
  if (r->token.kind != kind) return false;
  advance(r);
  return true;
}

static bool accept_word(struct reader *r, const char *word) {
  if (r->token.kind != WORD || !is(r->token.text, word)) return false;
  advance(r);
  return true;
}

// closing is the bracket that closes one, or 0.
static int closing(int kind) {
  switch (kind) {
  case '(':
    return ')';
  case '[':
    return ']';
  case '{':
    return '}';
  case '<':
    return '>';
  default:
    return 0;
  }
}

enum { DEPTH = 64 }; // of brackets in brackets

// skip reads until one of two characters, but not in brackets, and returns what is before it. It is empty if there is
// nothing, or if the brackets do not fit.
static struct span skip(struct reader *r, int one, int other) {
  int open[DEPTH], depth = 0;
  const char *start = r->token.text.at, *end = start;
  for (; r->token.kind != END; advance(r)) {
    int kind = r->token.kind;
    if (depth == 0 && (kind == one || kind == other)) return (struct span){start, (size_t)(end - start)};
    if (closing(kind)) {
      if (depth == DEPTH) break;
      open[depth++] = closing(kind);
    } else if (kind == ')' || kind == ']' || kind == '}' || kind == '>') {
      if (depth == 0 || open[--depth] != kind) break;
    }
    end = r->token.text.at + r->token.text.size;
  }
  return (struct span){start, 0};
}

// ---- Operations

// read_attributes reads name = value, ... up to the brace that closes the list, and that brace.
static const char *read_attributes(struct reader *r, struct operation *o) {
  while (!accept(r, '}')) {
    if (o->attribute_count == ATTRIBUTES) return "it has too many attributes";
    struct attribute *a = &o->attributes[o->attribute_count];
    a->name = r->token.text;
    if (!accept(r, WORD) && !accept(r, STRING)) return "an attribute has no name";
    if (!accept(r, '=')) return "an attribute has no value";
    a->value = skip(r, ',', '}');
    if (!a->value.size) return "an attribute has no value";
    o->attribute_count++;
    if (r->token.kind != '}' && !accept(r, ',')) return "its attributes do not end";
  }
  return NULL;
}

// read_regions reads {region}, ... up to the bracket that closes the list, and that bracket.
static const char *read_regions(struct reader *r, struct operation *o) {
  do {
    if (o->region_count == REGIONS) return "it has too many regions";
    if (!accept(r, '{')) return "a region does not begin";
    struct span region = skip(r, '}', '}');
    if (!region.size || !accept(r, '}')) return "a region does not end";
    o->regions[o->region_count++] = region;
  } while (accept(r, ','));
  return accept(r, ')') ? NULL : "its regions do not end";
}

// read_result reads a result's type.
static const char *read_result(struct reader *r, struct operation *o) {
  const char *start = r->token.text.at;
  if (!accept(r, WORD) || !accept(r, '<')) return "its result's type is missing";
  skip(r, '>', '>');
  if (!accept(r, '>')) return "its result's type does not end";
  const char *end = r->before.text.at + r->before.text.size;
  o->results[o->result_count++] = (struct span){start, (size_t)(end - start)};
  return NULL;
}

const char *read_operation(struct reader *r, struct operation *o) {
  *o = (struct operation){.name = r->token.text};
  advance(r);
  if (!accept(r, '(')) return "its operands are missing";
  while (!accept(r, ')')) {
    if (o->operand_count == OPERANDS) return "it has too many operands";
    o->operands[o->operand_count++] = r->token.text;
    if (!accept(r, VALUE)) return "an operand is not a value";
    if (r->token.kind != ')' && !accept(r, ',')) return "its operands do not end";
  }
  const char *problem = NULL;
  if (accept(r, '<')) { // attributes of its own come so from newer printers, before those of others
    if (!accept(r, '{')) return "its attributes do not begin";
    if ((problem = read_attributes(r, o))) return problem;
    if (!accept(r, '>')) return "its attributes do not end";
  }
  if (accept(r, '(') && (problem = read_regions(r, o))) return problem;
  if (accept(r, '{') && (problem = read_attributes(r, o))) return problem;
  o->behind = r->before.text.at + r->before.text.size;
  if (!accept(r, ':') || !accept(r, '(')) return "its types are missing";
  while (!accept(r, ')')) {
    if (o->type_count == OPERANDS) return "it has too many types";
    struct span type = skip(r, ',', ')');
    if (!type.size) return "a type is missing";
    o->types[o->type_count++] = type;
    if (r->token.kind != ')' && !accept(r, ',')) return "its types do not end";
  }
  if (!accept(r, ARROW)) return "its result's type is missing";
  bool several = accept(r, '(');
  do {
    if (o->result_count == RESULTS) return "it has too many results";
    if ((problem = read_result(r, o))) return problem;
  } while (several && accept(r, ','));
  if (several && !accept(r, ')')) return "its results' types do not end";
  if (o->operand_count != o->type_count) return "it has more operands than types, or fewer";
  return NULL;
}

bool begin_signature(struct reader at, struct signature *s) {
  advance(&at);
  if (!accept(&at, '(')) return false;
  s->argument = at;
  skip(&at, ')', ')');
  s->result = at;
  return accept(&s->result, ')') && accept(&s->result, ARROW) && accept(&s->result, '(');
}

bool next_pair(struct signature *s, struct span *argument, struct span *result) {
  if (!accept(&s->argument, VALUE) || !accept(&s->argument, ':')) return false;
  *argument = skip(&s->argument, ',', ')');
  *result = skip(&s->result, ',', ')');
  accept(&s->argument, ',');
  accept(&s->result, ',');
  return argument->size && result->size;
}

// accept_argument reads an argument of a region, with its type, and the character behind it.
static bool accept_argument(struct reader *r, struct span *argument, int behind) {
  *argument = r->token.text;
  return accept(r, VALUE) && accept(r, ':') && skip(r, behind, behind).size && accept(r, behind);
}

// compares tells whether an operation is a comparison in that direction.
static bool compares(const struct operation *o, const char *direction) {
  struct reader r = reader_of(value_of(o, "comparison_direction"));
  return is(r.token.text, "#stablehlo") && accept(&r, SIGNED) && accept(&r, '<') &&
         accept_word(&r, "comparison_direction") && accept_word(&r, direction) && accept(&r, '>') && accept(&r, END);
}

bool region_does(struct span region, const char *operation, const char *direction) {
  struct reader r = reader_of(region);
  struct span first, second, result;
  struct operation does;
  if (!accept(&r, SIGNED) || !accept(&r, '(')) return false;
  if (!accept_argument(&r, &first, ',') || !accept_argument(&r, &second, ')') || !accept(&r, ':')) return false;
  result = r.token.text;
  if (!accept(&r, VALUE) || !accept(&r, '=') || r.token.kind != STRING || read_operation(&r, &does)) return false;
  if (!is(does.name, operation) || does.operand_count != 2 || does.region_count) return false;
  if (!same(does.operands[0], first) || !same(does.operands[1], second)) return false;
  if (direction && !compares(&does, direction)) return false;
  if (!is(r.token.text, "\"stablehlo.return\"") || !accept(&r, STRING) || !accept(&r, '(')) return false;
  if (!same(r.token.text, result) || !accept(&r, VALUE) || !accept(&r, ')') || !accept(&r, ':')) return false;
  return accept(&r, '(') && skip(&r, ')', ')').size && accept(&r, ')') && accept(&r, ARROW) && accept(&r, '(') &&
         accept(&r, ')') && accept(&r, END);
}

struct span value_of(const struct operation *o, const char *name) {
  for (int i = 0; i < o->attribute_count; i++)
    if (is(o->attributes[i].name, name)) return o->attributes[i].value;
  return (struct span){"", 0};
}

// ---- Values

// whole reads a whole number from the beginning of a text and returns its end, or NULL.
static const char *whole(const char *at, const char *end, int64_t *number) {
  bool negative = at < end && *at == '-';
  if (negative) at++;
  if (at == end || !digit(*at)) return NULL;
  for (*number = 0; at < end && digit(*at); at++) {
    *number = *number * 10 + (*at - '0');
    if (*number > LARGE) *number = LARGE + 1;
  }
  if (negative) *number = -*number;
  return at;
}

static bool accept_number(struct reader *r, int64_t *number) {
  struct span text = r->token.text;
  if (r->token.kind != WORD || whole(text.at, text.at + text.size, number) != text.at + text.size) return false;
  advance(r);
  return true;
}

bool read_integer(struct span value, int64_t *number) {
  struct reader r = reader_of(value);
  return accept_number(&r, number) && accept(&r, ':') && accept(&r, WORD) && accept(&r, END);
}

// begins reads the beginning of an array.
static bool begins(struct reader *r, const char *element) {
  return accept_word(r, "array") && accept(r, '<') && accept_word(r, element) && accept(r, ':');
}

int read_integers(struct span value, int64_t *numbers, int most) {
  struct reader r = reader_of(value);
  if (!begins(&r, "i64")) return -1;
  int count = 0;
  do {
    int64_t number;
    if (!accept_number(&r, &number)) return -1;
    if (count < most) numbers[count] = number;
    count++;
  } while (accept(&r, ','));
  return accept(&r, '>') && accept(&r, END) ? count : -1;
}

bool read_bools(struct span value, bool *bools, int count) {
  struct reader r = reader_of(value);
  if (!begins(&r, "i1")) return false;
  for (int i = 0; i < count; i++) {
    if (i && !accept(&r, ',')) return false;
    bools[i] = accept_word(&r, "true");
    if (!bools[i] && !accept_word(&r, "false")) return false;
  }
  return accept(&r, '>') && accept(&r, END);
}

bool read_tensor(struct span value, int64_t *numbers, int count) {
  struct reader r = reader_of(value);
  if (!accept_word(&r, "dense") || !accept(&r, '<')) return false;
  int n = 0;
  while (!accept(&r, '>')) {
    if (accept(&r, '[') || accept(&r, ']') || accept(&r, ',')) continue;
    if (n == count || !accept_number(&r, numbers + n)) return false;
    n++;
  }
  if (n == 1)
    for (; n < count; n++) numbers[n] = numbers[0];
  if (n != count || !accept(&r, ':')) return false;
  struct tensor_type type;
  return read_type((struct span){r.token.text.at, (size_t)(r.end - r.token.text.at)}, &type);
}

bool read_type(struct span text, struct tensor_type *type) {
  *type = (struct tensor_type){.rank = 0};
  struct reader r = reader_of(text);
  if (!accept_word(&r, "tensor") || !accept(&r, '<')) return false;
  struct span inside = skip(&r, '>', '>');
  if (!inside.size || !accept(&r, '>') || r.token.kind != END) return false;
  if (memchr(inside.at, '?', inside.size)) {
    type->rank = -1;
    return true;
  }
  const char *at = inside.at, *end = inside.at + inside.size;
  while (at < end && digit(*at)) {
    int64_t size;
    at = whole(at, end, &size);
    if (at == end || *at != 'x') return false;
    if (type->rank < 4) type->sizes[type->rank] = size;
    type->rank++;
    at++;
  }
  type->element = (struct span){at, (size_t)(end - at)};
  return true;
}

bool read_axes(struct span value, struct axes axes[3]) {
  struct reader r = reader_of(value);
  if (!is(r.token.text, "#stablehlo.conv") || !accept(&r, SIGNED) || !accept(&r, '<')) return false;
  for (int i = 0; i < 3; i++) {
    if (i == 1 && !accept_word(&r, "x")) return false;
    if (i == 2 && !accept(&r, ARROW)) return false;
    if (!accept(&r, '[')) return false;
    axes[i].count = 0;
    while (!accept(&r, ']')) {
      if (axes[i].count > 0 && !accept(&r, ',')) return false;
      if (r.token.text.size != 1) return false;
      if (axes[i].count < 4) axes[i].names[axes[i].count] = *r.token.text.at;
      axes[i].count++;
      if (!accept(&r, WORD)) return false;
    }
  }
  return accept(&r, '>') && accept(&r, END);
}
