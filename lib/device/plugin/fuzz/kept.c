// A fuzzer of what reads kept compiled programs in ../plugin.c: no file may make it read beyond the file, or hand XLA a
// program whose sum is wrong. The input is the file, but for its first byte: if that is odd, the sizes and the sum in
// its header are put right first, which a fuzzer would hardly hit upon.

#include "../plugin.c"

#include "driver.h"

static const char KEY[] = "all that a program depends on";

static struct bytes handed; // the last program

static PJRT_Error *take(PJRT_Executable_DeserializeAndLoad_Args *args) {
  handed = (struct bytes){malloc(args->serialized_executable_size + 1), args->serialized_executable_size};
  memcpy(handed.data, args->serialized_executable, handed.size);
  args->loaded_executable = (PJRT_LoadedExecutable *)handed.data;
  return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const PJRT_Api stub = {.PJRT_Executable_DeserializeAndLoad = take};
  static char path[64];
  real = &stub;
  if (!*path) snprintf(path, sizeof path, "/tmp/convbook-fuzz-%d.xla", getpid());
  struct bytes key = {(char *)KEY, strlen(KEY)};
  bool right = size && *data & 1;
  size_t length = size ? size - 1 : 0, before = sizeof(struct header) + key.size;
  char *file = malloc(length + 1);
  memcpy(file, data + (size > 0), length);
  if (right && length > before) {
    struct header header = {.key_size = key.size,
      .program_size = length - before,
      .program_sum = sum((struct bytes){file + before, length - before})};
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, KEY, key.size);
  }
  int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out < 0 || !put(out, file, length) || close(out)) abort();
  handed = (struct bytes){0};
  bool loaded = load(path, key, NULL);
  if (loaded != (handed.data != NULL) || (right && length > before && !loaded)) abort();
  if (loaded) {
    struct header header;
    memcpy(&header, file, sizeof header);
    if (handed.size != length - before || memcmp(handed.data, file + before, handed.size) ||
        header.program_sum != sum(handed) || header.program_size != handed.size ||
        memcmp(file + sizeof header, KEY, key.size))
      abort();
  }
  unlink(path);
  free(handed.data);
  free(file);
  return 0;
}
