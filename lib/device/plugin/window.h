// What pool.c does with a window, channel by channel. It includes this once for each width of the processor's vectors:
// TARGET chooses that, NAME is how the functions' names end.

#define NAMED(function, name) NAMED_(function, name)
#define NAMED_(function, name) function##name
#define INSIDE TARGET static inline __attribute__((always_inline))

// find_most finds the largest values of n channels, from c on, in a window, or what is not a number. They are no less
// than what most holds before.
INSIDE void NAMED(find_most, NAME)(const struct view *w, int64_t c, size_t n, vector *most) {
  for (int64_t r = w->rows[0]; r < w->rows[1]; r++)
    for (int64_t s = w->columns[0]; s < w->columns[1]; s++) {
      vector value = {0};
      memcpy(&value, w->image + r * w->row + s * w->column + c, n * sizeof(float));
      mask larger = (value > *most) | (value != value);
      *most = PICK(larger, value, *most);
    }
}

INSIDE void NAMED(write_most, NAME)(const struct view *w, int64_t c, size_t n, float least, float *y) {
  vector most = least - (vector){0};
  NAMED(find_most, NAME)(w, c, n, &most);
  memcpy(y + c, &most, n * sizeof(float));
}

// give_most adds to the gradient in a window what n channels of y have, where the first of the largest values is.
INSIDE void NAMED(give_most, NAME)(const struct view *w, int64_t c, size_t n, const float *pull, float *gradient) {
  vector most = -__builtin_inff() - (vector){0}, left = {0}; // left is what is still to be given
  NAMED(find_most, NAME)(w, c, n, &most);
  memcpy(&left, pull + c, n * sizeof(float));
  for (int64_t r = w->rows[0]; r < w->rows[1]; r++)
    for (int64_t s = w->columns[0]; s < w->columns[1]; s++) {
      int64_t at = r * w->row + s * w->column + c;
      vector value = {0}, sum = {0};
      memcpy(&value, w->image + at, n * sizeof(float));
      memcpy(&sum, gradient + at, n * sizeof(float));
      mask less = value < most;
      sum += PICK(less, (vector){0}, left);
      left = PICK(less, left, (vector){0});
      memcpy(gradient + at, &sum, n * sizeof(float));
    }
}

// EACH_BLOCK does something with c and n for all channels, n of them at once. The compiler knows n but for the rest.
#define EACH_BLOCK(something)                                                                                          \
  do {                                                                                                                 \
    int64_t c = 0;                                                                                                     \
    for (const size_t n = LANES; c + LANES <= channels; c += LANES) something;                                         \
    for (const size_t n = FEW; c + FEW <= channels; c += FEW) something;                                               \
    for (size_t n = (size_t)(channels - c); c < channels; c = channels) something;                                     \
  } while (0)

TARGET static void NAMED(maxima_in, NAME)(const struct view *w, int64_t channels, float least, float *y) {
  EACH_BLOCK(NAMED(write_most, NAME)(w, c, n, least, y));
}

TARGET static void NAMED(gradient_in, NAME)(
  const struct view *w, int64_t channels, const float *pull, float *gradient) {
  EACH_BLOCK(NAMED(give_most, NAME)(w, c, n, pull, gradient));
}

#undef EACH_BLOCK
#undef INSIDE
#undef NAMED_
#undef NAMED
#undef TARGET
#undef NAME
