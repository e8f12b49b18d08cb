// What a fuzzer is: clang's libFuzzer calls this with inputs that it makes. With another compiler, main tries the files
// that are given.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef LIBFUZZER
int main(int files, char **paths) {
  for (int i = 1; i < files; i++) {
    FILE *in = fopen(paths[i], "rb");
    static uint8_t data[1 << 20];
    size_t size = in ? fread(data, 1, sizeof data, in) : 0;
    if (!in || ferror(in) || !feof(in)) return perror(paths[i]), 1;
    fclose(in);
    fprintf(stderr, "%s\n", paths[i]); // the last one is at fault if the program ends here
    LLVMFuzzerTestOneInput(data, size);
  }
  return 0;
}
#endif
