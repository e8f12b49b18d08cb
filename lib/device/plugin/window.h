// What pool.c does with a window, for one width of vectors (see lanes.h).

VECTORS;

// find_most finds the largest values of n channels, from c on, in a window, or what is not a number. They are no less
// than what most holds before.
INSIDE void NAMED(find_most)(const struct view *w, int64_t c, size_t n, vector *most) {
  for (int64_t r = w->rows[0]; r < w->rows[1]; r++)
    for (int64_t s = w->columns[0]; s < w->columns[1]; s++) {
      LOAD(value, w->image + r * w->row + s * w->column + c, n);
      mask larger = (value > *most) | (value != value);
      *most = PICK(larger, value, *most);
    }
}

INSIDE void NAMED(write_most)(const struct view *w, int64_t c, size_t n, float least, float *y) {
  vector most = ALL(least);
  NAMED(find_most)(w, c, n, &most);
  STORE(y + c, most, n);
}

// give_most adds to the gradient in a window what n channels of y have, where the first of the largest values is.
INSIDE void NAMED(give_most)(const struct view *w, int64_t c, size_t n, const float *pull, float *gradient) {
  vector most = ALL(-__builtin_inff());
  NAMED(find_most)(w, c, n, &most);
  LOAD(left, pull + c, n); // what is still to be given
  for (int64_t r = w->rows[0]; r < w->rows[1]; r++)
    for (int64_t s = w->columns[0]; s < w->columns[1]; s++) {
      int64_t at = r * w->row + s * w->column + c;
      LOAD(value, w->image + at, n);
      LOAD(sum, gradient + at, n);
      mask less = value < most;
      sum += PICK(less, (vector){0}, left);
      left = PICK(less, left, (vector){0});
      STORE(gradient + at, sum, n);
    }
}

TARGET static void NAMED(maxima_in)(const struct view *w, int64_t channels, float least, float *y) {
  EACH_BLOCK(channels, NAMED(write_most)(w, c, n, least, y));
}

TARGET static void NAMED(gradient_in)(const struct view *w, int64_t channels, const float *pull, float *gradient) {
  EACH_BLOCK(channels, NAMED(give_most)(w, c, n, pull, gradient));
}

#undef TARGET
#undef NAME
#undef LANES
