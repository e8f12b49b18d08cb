// What norm.c does with a piece of an image, for one width of vectors (see lanes.h).

VECTORS;

// triple is the first three factors of as many channels as a vector has.
#define triple NAMED(triple)
typedef struct {
  vector mean, factor, shift;
} triple;

// add adds n channels of a pixel to a sum, and add_square the square of how far they are from their mean.
INSIDE void NAMED(add)(const float *x, size_t n, vector *sum) {
  LOAD(value, x, n);
  *sum += value;
}

INSIDE void NAMED(add_square)(const float *x, size_t n, const vector *mean, vector *sum) {
  LOAD(value, x, n);
  value -= *mean;
  *sum += value * value;
}

// find_moments finds the means of n channels, from c on, and the sums of squares of what differs from them. It has two
// sums at a time, as an addition need not wait for the one before then.
INSIDE void NAMED(find_moments)(const float *x, int64_t pixels, int64_t channels, int64_t c, size_t n, float *moments) {
  vector sum = {0}, other = {0}, squares = {0}, others = {0};
  int64_t pairs = pixels / 2;
  x += c;
  for (int64_t p = 0; p < pairs; p++) {
    NAMED(add)(x + 2 * p * channels, n, &sum);
    NAMED(add)(x + (2 * p + 1) * channels, n, &other);
  }
  if (pixels % 2) NAMED(add)(x + 2 * pairs * channels, n, &sum);
  vector mean = (sum + other) / ALL((float)pixels);
  for (int64_t p = 0; p < pairs; p++) {
    NAMED(add_square)(x + 2 * p * channels, n, &mean, &squares);
    NAMED(add_square)(x + (2 * p + 1) * channels, n, &mean, &others);
  }
  if (pixels % 2) NAMED(add_square)(x + 2 * pairs * channels, n, &mean, &squares);
  squares += others;
  STORE(moments + c, mean, n);
  STORE(moments + channels + c, squares, n);
}

INSIDE void NAMED(load_some)(const struct factors *f, int64_t c, size_t n, triple *some) {
  LOAD(mean, f->mean + c, n);
  LOAD(factor, f->factor + c, n);
  LOAD(shift, f->shift + c, n);
  *some = (triple){mean, factor, shift};
}

// write_normal writes what n channels become, from c on.
INSIDE void NAMED(write_normal)(
  const struct norm *norm, const struct factors *f, const float *x, int64_t pixels, int64_t c, size_t n, float *y) {
  triple some;
  NAMED(load_some)(f, c, n, &some);
  vector least = norm->relu ? (vector){0} : ALL(-__builtin_inff());
  for (int64_t p = 0; p < pixels; p++) {
    LOAD(value, x + p * norm->channels + c, n);
    value = (value - some.mean) * some.factor + some.shift;
    mask less = value < least; // which keeps what is not a number
    value = PICK(less, least, value);
    STORE(y + p * norm->channels + c, value, n);
  }
}

// pulled finds how far n channels of a pixel are from their mean, and the gradient with respect to what they become
// before the ReLU.
INSIDE void NAMED(pulled)(
  const float *x, const float *pull, size_t n, bool relu, const triple *some, vector *from_mean, vector *g) {
  LOAD(value, x, n);
  LOAD(given, pull, n);
  *from_mean = value - some->mean;
  mask off = *from_mean * some->factor + some->shift <= (vector){0};
  *g = relu ? PICK(off, (vector){0}, given) : given;
}

INSIDE void NAMED(add_products)(
  const float *x, const float *pull, size_t n, bool relu, const triple *some, vector *sum, vector *products) {
  vector from_mean, g;
  NAMED(pulled)(x, pull, n, relu, some, &from_mean, &g);
  *sum += g;
  *products += g * from_mean;
}

// find_sums finds the sums of n channels' gradients, and of their products with how far x is from its mean.
INSIDE void NAMED(find_sums)(const struct norm *norm, const struct factors *f, const float *x, const float *pull,
  int64_t pixels, int64_t c, size_t n, float *sums) {
  triple some;
  NAMED(load_some)(f, c, n, &some);
  vector sum = {0}, other = {0}, products = {0}, others = {0};
  int64_t p = 0, channels = norm->channels;
  bool relu = norm->relu;
  x += c;
  pull += c;
  for (; p + 2 <= pixels; p += 2) {
    int64_t at = p * channels, next = at + channels;
    NAMED(add_products)(x + at, pull + at, n, relu, &some, &sum, &products);
    NAMED(add_products)(x + next, pull + next, n, relu, &some, &other, &others);
  }
  if (p < pixels) NAMED(add_products)(x + p * channels, pull + p * channels, n, relu, &some, &sum, &products);
  sum += other;
  products += others;
  STORE(sums + c, sum, n);
  STORE(sums + channels + c, products, n);
}

// write_gradient writes the gradient with respect to n channels of x, from c on.
INSIDE void NAMED(write_gradient)(const struct norm *norm, const struct factors *f, const float *x, const float *pull,
  int64_t pixels, int64_t c, size_t n, float *result) {
  triple some;
  NAMED(load_some)(f, c, n, &some);
  LOAD(constant, f->constant + c, n);
  LOAD(slope, f->slope + c, n);
  bool relu = norm->relu;
  for (int64_t p = 0; p < pixels; p++) {
    int64_t at = p * norm->channels + c;
    vector from_mean, g;
    NAMED(pulled)(x + at, pull + at, n, relu, &some, &from_mean, &g);
    g = some.factor * (g - constant - from_mean * slope);
    STORE(result + at, g, n);
  }
}

TARGET static void NAMED(moments_of)(const float *x, int64_t pixels, int64_t channels, float *moments) {
  EACH_BLOCK(channels, NAMED(find_moments)(x, pixels, channels, c, n, moments));
}

TARGET static void NAMED(normal_of)(
  const struct norm *norm, const struct factors *f, const float *x, int64_t pixels, float *y) {
  EACH_BLOCK(norm->channels, NAMED(write_normal)(norm, f, x, pixels, c, n, y));
}

TARGET static void NAMED(sums_of)(
  const struct norm *norm, const struct factors *f, const float *x, const float *pull, int64_t pixels, float *sums) {
  EACH_BLOCK(norm->channels, NAMED(find_sums)(norm, f, x, pull, pixels, c, n, sums));
}

TARGET static void NAMED(gradient_of)(
  const struct norm *norm, const struct factors *f, const float *x, const float *pull, int64_t pixels, float *result) {
  EACH_BLOCK(norm->channels, NAMED(write_gradient)(norm, f, x, pull, pixels, c, n, result));
}

#undef TARGET
#undef NAME
#undef LANES
