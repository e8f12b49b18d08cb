// What becomes of the program on standard input, for the tests: it is printed as it is handed to XLA, or the line that
// says what cannot be read, and the status is 1.

#include "../rewrite.c"
#include "../convolve.c"
#include "../judge.c"
#include "../products.c"
#include "../stablehlo.c"
#include "../threads.c"

int main(void) {
  static char program[1 << 20];
  size_t size = fread(program, 1, sizeof program, stdin), written;
  if (!open_engine()) return 2;
  char *problem, *rewritten = rewrite(program, size, &written, &problem);
  if (problem) {
    puts(problem);
    return 1;
  }
  if (rewritten) fwrite(rewritten, 1, written, stdout);
  else fwrite(program, 1, size, stdout);
  return 0;
}
