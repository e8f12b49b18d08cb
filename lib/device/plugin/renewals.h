// What update.c does with n numbers, for one kind of processor. Each product that is added to something is rounded with
// the sum only, and of two products the second one is rounded before: so does XLA's code. LESS(a, b, c) is a · b − c,
// where GCC would take the other one.

TARGET static void NAMED(descend)(const struct update_arrays *a, int64_t n) {
  float rate = a->numbers[RATE], momentum = a->numbers[MOMENTUM];
  EACH(i, n) {
    float velocity = a->kept[0][i] * momentum + a->given[i];
    a->keep[0][i] = velocity;
    a->result[i] = a->value[i] - rate * velocity;
  }
}

// NAMED(adams) gives what Adam's step is, before the learning rate.
TARGET static inline __attribute__((always_inline)) float NAMED(adams)(
  const struct update_arrays *a, int64_t i, float spread) {
  float given = a->given[i];
  float mean = a->kept[0][i] * MEAN + given * TO_MEAN;
  float variance = a->kept[1][i] * VARIANCE + given * given * TO_VARIANCE;
  a->keep[0][i] = mean;
  a->keep[1][i] = variance;
  return mean / (sqrtf(variance) * spread + EPSILON);
}

TARGET static void NAMED(adam)(const struct update_arrays *a, int64_t n) {
  float corrected = a->numbers[CORRECTED], spread = a->numbers[SPREAD];
  EACH(i, n) a->result[i] = a->value[i] - corrected * NAMED(adams)(a, i, spread);
}

TARGET static void NAMED(decayed)(const struct update_arrays *a, int64_t n) {
  float corrected = a->numbers[CORRECTED], spread = a->numbers[SPREAD], left = a->numbers[REST];
  EACH(i, n) { a->result[i] = LESS(a->value[i], left, corrected * NAMED(adams)(a, i, spread)); }
}

TARGET static void NAMED(average)(const struct update_arrays *a, int64_t n) {
  float factor = a->numbers[0];
  EACH(i, n) a->result[i] = a->value[i] * OLD + a->given[i] * factor * NEW;
}

#undef TARGET
#undef LESS
#undef NAMED
