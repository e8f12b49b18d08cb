// A PJRT plugin in front of XLA's CPU plugin. `make setup` builds it, and lib/device/internal/pluginpath lets go-xla
// find it before the real one. It is the real one, but for five things:
//
//   - It hands a program's convolutions to oneDNN (convolve.c), and its batch norms and poolings to norm.c and pool.c,
//     unless CONVBOOK_ONEDNN is "off" or that library does not load. The plugin's attribute convbook_onednn tells
//     whether it does. What cannot be read is an error.
//   - It lets a program that changes variables do so in the memory of the old values (rewrite.c).
//   - It keeps compiled programs on disk: every cell is a process of its own, and XLA takes seconds to compile a
//     training step that the cell before had compiled already. It looks for the same program, compiled under the same
//     circumstances, in ~/.cache/convbook/compiled (XDG_CACHE_HOME moves ~/.cache, CONVBOOK_COMPILED names another
//     folder or is "off"), and keeps there what it had to compile. Whatever goes wrong with the folder is no error: the
//     program is compiled then.
//   - It refuses a program that would need more memory than there is: Linux gives out more than it has, and then kills
//     the process that uses it.
//   - It returns memory to the system, which does not happen by itself (see memory_linux.c): what a compilation needed,
//     and what a program's calls did when that is freed. And it lets a call begin only when the last one has given its
//     memory back, if that is much.
//
// Compiled with -DREAL_PLUGIN="path of the real plugin, from the folder of this one" -DREAL_PLUGIN_SUM="its SHA-256".
// What the other files become, onednn.so, is beside this one. So the folder around them may have any name, and may be
// moved.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pjrt_c_api.h"

static const PJRT_Api *real;
static char real_path[PATH_MAX];

#define ARGS(function, ...) {.struct_size = function##_Args_STRUCT_SIZE, __VA_ARGS__}

// failed tells whether a call of the real plugin failed, and drops its error.
static bool failed(PJRT_Error *error) {
  if (!error) return false;
  PJRT_Error_Destroy_Args args = ARGS(PJRT_Error_Destroy, .error = error);
  real->PJRT_Error_Destroy(&args);
  return true;
}

struct bytes {
  char *data;
  size_t size;
};

// sum is FNV-1a. It names files and finds damage in them; neither must withstand a deliberate collision.
static uint64_t sum(struct bytes b) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < b.size; i++) h = (h ^ (unsigned char)b.data[i]) * 1099511628211u;
  return h;
}

// ---- The key: all that a compiled program depends on. A file holds it whole, and serves only the very same.

// add appends a part behind its size, so no two lists of parts give the same bytes.
static void add(struct bytes *key, const void *part, size_t size) {
  key->data = realloc(key->data, key->size + sizeof size + size);
  if (!key->data) abort();
  memcpy(key->data + key->size, &size, sizeof size);
  if (size) memcpy(key->data + key->size + sizeof size, part, size);
  key->size += sizeof size + size;
}

static void add_text(struct bytes *key, const char *text) { add(key, text, text ? strlen(text) : 0); }

// add_processor appends what the first processor is and which instructions it has.
static void add_processor(struct bytes *key) {
  FILE *file = fopen("/proc/cpuinfo", "re");
  char *line = NULL;
  size_t room = 0;
  while (file && getline(&line, &room, file) > 1) // an empty line ends the first processor
    if (!strncmp(line, "model", 5) || !strncmp(line, "flags", 5)) add_text(key, line);
  free(line);
  if (file) fclose(file);
}

static struct bytes key_of(const PJRT_Client_Compile_Args *args) {
  struct bytes key = {0};
  struct stat plugin = {0}; // it may have been exchanged since this file was compiled
  stat(real_path, &plugin);
  cpu_set_t cpus; // XLA divides the work by their number
  int usable = sched_getaffinity(0, sizeof cpus, &cpus) ? 0 : CPU_COUNT(&cpus);
  add_text(&key, REAL_PLUGIN_SUM);
  add(&key, &plugin.st_size, sizeof plugin.st_size);
  add(&key, &plugin.st_mtim, sizeof plugin.st_mtim);
  add_processor(&key);
  add(&key, &usable, sizeof usable);
  add_text(&key, getenv("NPROC")); // XLA's number of threads, where it is set
  add_text(&key, getenv("XLA_FLAGS"));
  add(&key, args->compile_options, args->compile_options_size);
  add(&key, args->program->format, args->program->format_size);
  add(&key, args->program->code, args->program->code_size);
  return key;
}

// ---- The files: a header, the key, the program.

static const char MAGIC[8] = "XLAkept1"; // the last character is the version of the format

struct header {
  char magic[sizeof MAGIC];
  uint64_t key_size, program_size, program_sum;
};

// path_of writes where the program of a key is kept, and tells whether it may be.
static bool path_of(struct bytes key, char path[PATH_MAX]) {
  const char *folder = getenv("CONVBOOK_COMPILED"), *inside = "", *flags = getenv("XLA_FLAGS");
  if (flags && strstr(flags, "xla_dump")) return false; // who wants to see XLA compile must not get a finished program
  if (!folder || !*folder) {
    folder = getenv("XDG_CACHE_HOME");
    inside = "/convbook/compiled";
  }
  if (!folder || !*folder) {
    folder = getenv("HOME");
    inside = "/.cache/convbook/compiled";
  }
  if (!folder || *folder != '/') return false; // "off", and what would be another folder in each process
  return snprintf(path, PATH_MAX, "%s%s/%016jx.xla", folder, inside, (uintmax_t)sum(key)) < PATH_MAX;
}

enum {
  MOST = 256 << 20, // bytes in the folder: some hundred programs
  LEFT = 3600,      // seconds from now at which nobody is writing a partial file any more
};

// content is what a file holds, or nothing.
static struct bytes content(const char *path) {
  struct bytes all = {0};
  struct stat info;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe would wait for its writer
  if (file < 0) return all;
  // It is code, and this process will run it: nobody else may have written it.
  if (!fstat(file, &info) && S_ISREG(info.st_mode) && info.st_size <= MOST && info.st_uid == geteuid() &&
      !(info.st_mode & (S_IWGRP | S_IWOTH)))
    all = (struct bytes){malloc((size_t)info.st_size), (size_t)info.st_size};
  if (!all.data || read(file, all.data, all.size) != (ssize_t)all.size) all.size = 0;
  close(file);
  return all;
}

// load gives the program that is kept for the key, or NULL.
static PJRT_LoadedExecutable *load(const char *path, struct bytes key, PJRT_Client *client) {
  PJRT_LoadedExecutable *loaded = NULL;
  struct bytes all = content(path);
  struct header *header = (struct header *)all.data;
  if (all.size > sizeof *header + key.size && !memcmp(header->magic, MAGIC, sizeof MAGIC) &&
      header->key_size == key.size && !memcmp(all.data + sizeof *header, key.data, key.size)) {
    struct bytes program = {all.data + sizeof *header + key.size, all.size - sizeof *header - key.size};
    PJRT_Executable_DeserializeAndLoad_Args args = ARGS(PJRT_Executable_DeserializeAndLoad, .client = client,
      .serialized_executable = program.data, .serialized_executable_size = program.size);
    if (header->program_size == program.size && header->program_sum == sum(program) &&
        !failed(real->PJRT_Executable_DeserializeAndLoad(&args))) {
      loaded = args.loaded_executable;
      utimensat(AT_FDCWD, path, NULL, 0); // used now
    }
  }
  free(all.data);
  return loaded;
}

static bool put(int file, const void *data, size_t size) { return write(file, data, size) == (ssize_t)size; }

// keep writes a file in one step: whoever finds it finds all of it.
static void keep(const char *path, struct bytes key, struct bytes program) {
  struct header header = {.key_size = key.size, .program_size = program.size, .program_sum = sum(program)};
  memcpy(header.magic, MAGIC, sizeof MAGIC);
  char partial[PATH_MAX + 16];
  snprintf(partial, sizeof partial, "%s.XXXXXX.partial", path);
  int file = mkostemps(partial, strlen(".partial"), O_CLOEXEC);
  if (file < 0) return;
  bool whole = put(file, &header, sizeof header) && put(file, key.data, key.size) &&
               put(file, program.data, program.size) && !fsync(file);
  if (close(file) || !whole || rename(partial, path)) unlink(partial);
}

static bool earlier(struct timespec a, struct timespec b) {
  return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

// tidy removes what was not used for the longest time while there is too much, and what a killed process left half
// written. It goes by the names that are given here, for the user may have named a folder in which other things are.
static void tidy(const char *folder) {
  off_t total;
  do {
    char oldest[NAME_MAX + 1] = "";
    struct timespec used = {0};
    DIR *dir = opendir(folder);
    total = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
      struct stat info;
      const char *end = entry->d_name + 16;
      if (strspn(entry->d_name, "0123456789abcdef") != 16 || strncmp(end, ".xla", 4) ||
          fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) || S_ISDIR(info.st_mode))
        continue;
      bool partial = strlen(end) > 4;
      if (partial && llabs(time(NULL) - info.st_mtim.tv_sec) > LEFT) // or ahead of the clock, which may have jumped
        unlinkat(dirfd(dir), entry->d_name, 0);
      if (partial) continue;
      total += info.st_size;
      if (!*oldest || earlier(info.st_mtim, used)) {
        used = info.st_mtim;
        strcpy(oldest, entry->d_name);
      }
    }
    if (total > MOST && unlinkat(dirfd(dir), oldest, 0)) total = 0; // not ours to remove: leave it
    if (dir) closedir(dir);
  } while (total > MOST);
}

// executable_of is what a loaded program was compiled to, or NULL. It has to be dropped.
static PJRT_Executable *executable_of(PJRT_LoadedExecutable *loaded) {
  PJRT_LoadedExecutable_GetExecutable_Args get = ARGS(PJRT_LoadedExecutable_GetExecutable, .loaded_executable = loaded);
  return failed(real->PJRT_LoadedExecutable_GetExecutable(&get)) ? NULL : get.executable;
}

static void drop(PJRT_Executable *executable) {
  PJRT_Executable_Destroy_Args args = ARGS(PJRT_Executable_Destroy, .executable = executable);
  failed(real->PJRT_Executable_Destroy(&args));
}

// keep_compiled keeps a program that has been compiled. It takes a hundredth of the time that compiling took.
static void keep_compiled(char *path, struct bytes key, PJRT_LoadedExecutable *loaded) {
  PJRT_Executable *executable = executable_of(loaded);
  if (!executable) return;
  PJRT_Executable_Serialize_Args serialize = ARGS(PJRT_Executable_Serialize, .executable = executable);
  if (!failed(real->PJRT_Executable_Serialize(&serialize))) {
    char *slash = path;
    while ((slash = strchr(slash + 1, '/'))) { // the folders above the file
      *slash = 0;
      mkdir(path, 0755);
      *slash = '/';
    }
    keep(path, key, (struct bytes){(char *)serialize.serialized_bytes, serialize.serialized_bytes_size});
    serialize.serialized_executable_deleter(serialize.serialized_executable);
    *strrchr(path, '/') = 0;
    tidy(path);
  }
  drop(executable);
}

// ---- The plugin

static char *(*rewrite)(const char *program, size_t size, size_t *written, char **problem); // rewrite.c's, or NULL

// own_error is an error of this plugin: a message in memory of its own. Its address is odd, as none of the real
// plugin's is.
static PJRT_Error *own_error(char *message) { return (PJRT_Error *)(message + 1); }

// own_message is the message of an error of this plugin, or NULL if it is the real one's.
static char *own_message(const PJRT_Error *error) { return (uintptr_t)error & 1 ? (char *)error - 1 : NULL; }

static void error_message(PJRT_Error_Message_Args *args) {
  args->message = own_message(args->error);
  if (args->message) args->message_size = strlen(args->message);
  else real->PJRT_Error_Message(args);
}

static PJRT_Error *error_code(PJRT_Error_GetCode_Args *args) {
  if (!own_message(args->error)) return real->PJRT_Error_GetCode(args);
  args->code = PJRT_Error_Code_FAILED_PRECONDITION;
  return NULL;
}

static void error_destroy(PJRT_Error_Destroy_Args *args) {
  char *message = own_message(args->error);
  if (message) free(message);
  else real->PJRT_Error_Destroy(args);
}

// ---- Memory

// number_in is the number behind a name in a file of Linux's, or the file's only number for the name "". It is −1 where
// there is none.
static int64_t number_in(const char *path, const char *name) {
  FILE *file = fopen(path, "re");
  char *line = NULL;
  size_t room = 0, size = strlen(name);
  long long number = -1;
  while (file && number < 0 && getline(&line, &room, file) > 0)
    if (!strncmp(line, name, size)) sscanf(line + size + strspn(line + size, ": "), "%lld", &number);
  free(line);
  if (file) fclose(file);
  return number;
}

// free_memory is how many bytes this process can still get, of the machine's and of the container's, as far as that is
// known: else it is very many.
static int64_t free_memory(void) {
  int64_t here = number_in("/proc/meminfo", "MemAvailable"), swap = number_in("/proc/meminfo", "SwapFree");
  here = here < 0 ? INT64_MAX : (here + (swap > 0 ? swap : 0)) * 1024;
  int64_t limit = number_in("/sys/fs/cgroup/memory.max", ""), used = number_in("/sys/fs/cgroup/memory.current", "");
  int64_t files = number_in("/sys/fs/cgroup/memory.stat", "inactive_file"); // are dropped when memory gets scarce
  int64_t inside = limit < 0 || used < 0 ? INT64_MAX : limit - used + (files > 0 ? files : 0);
  return here < inside ? here : inside;
}

// A call has its results a few milliseconds before it gives back what it computed them in. Who begins the next one at
// once takes that much memory a second time, and it stays taken.

enum { MUCH = 128 << 20 }; // bytes; who takes less begins at once

// A program whose calls take much.
struct large {
  PJRT_LoadedExecutable *program;
  size_t takes;
  struct large *next;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; // for what follows
static struct large *large_ones;
static size_t used_before = SIZE_MAX, taken; // at the start of the last call of one of them, and by it

static void note_large(PJRT_LoadedExecutable *program, int64_t takes) {
  struct large *one = takes < MUCH ? NULL : malloc(sizeof *one);
  if (!one) return;
  pthread_mutex_lock(&turn);
  *one = (struct large){program, (size_t)takes, large_ones};
  large_ones = one;
  pthread_mutex_unlock(&turn);
}

static void forget_large(const PJRT_LoadedExecutable *program) {
  pthread_mutex_lock(&turn);
  for (struct large **at = &large_ones; *at;) {
    struct large *one = *at;
    if (one->program == program) {
      *at = one->next;
      free(one);
    } else {
      at = &one->next;
    }
  }
  pthread_mutex_unlock(&turn);
}

// The wait is short, since the memory may as well be that of a call that somebody else has begun.
static PJRT_Error *execute(PJRT_LoadedExecutable_Execute_Args *args) {
  pthread_mutex_lock(&turn);
  const struct large *one = large_ones;
  while (one && one->program != args->executable) one = one->next;
  if (one) {
    size_t used = mallinfo2().uordblks;
    for (int i = 0; i < 100 && used > used_before && used - used_before > taken / 2; i++) {
      usleep(500);
      used = mallinfo2().uordblks;
    }
    used_before = used;
    taken = one->takes;
  }
  pthread_mutex_unlock(&turn);
  return real->PJRT_LoadedExecutable_Execute(args);
}

// memory_of tells what a call of a program takes, if that is known.
static bool memory_of(PJRT_LoadedExecutable *loaded, PJRT_Executable_GetCompiledMemoryStats_Args *stats) {
  PJRT_Executable *executable = executable_of(loaded);
  if (!executable) return false;
  *stats =
    (PJRT_Executable_GetCompiledMemoryStats_Args)ARGS(PJRT_Executable_GetCompiledMemoryStats, .executable = executable);
  bool known = !failed(real->PJRT_Executable_GetCompiledMemoryStats(stats));
  drop(executable);
  return known;
}

// too_large is an error if a call would need more memory than there is, beside what it is given.
static PJRT_Error *too_large(const PJRT_Executable_GetCompiledMemoryStats_Args *stats) {
  int64_t needed = stats->temp_size_in_bytes + stats->output_size_in_bytes - stats->alias_size_in_bytes;
  int64_t there = free_memory();
  static const char TOO_LARGE[] =
    "this needs %.1f GiB of memory at a time, and %.1f GiB are free: take a smaller batch";
  char *message = NULL;
  if (needed > there && asprintf(&message, TOO_LARGE, (double)needed / (1 << 30), (double)there / (1 << 30)) < 0)
    message = NULL;
  return message ? own_error(message) : NULL;
}

static PJRT_Error *destroy(PJRT_LoadedExecutable_Destroy_Args *args) {
  forget_large(args->executable);
  PJRT_Error *error = real->PJRT_LoadedExecutable_Destroy(args);
  malloc_trim(0);
  return error;
}

// with_options returns the options to compile with: the given ones, and that XLA looks closer where a value has to be
// copied before its memory is used for another. Otherwise a training step whose variables change in place would copy
// most of them. They are a CompileOptionsProto, in which what comes later is added: here, to the map in field 7, a
// text in field 1, and in field 2 a message whose field 2 is true.
static struct bytes with_options(const char *given, size_t size) {
  static const char OPTION[] = "\x3a\x30\x0a\x2axla_cpu_copy_insertion_use_region_analysis\x12\x02\x10\x01";
  struct bytes all = {malloc(size + sizeof OPTION - 1), size + sizeof OPTION - 1};
  if (!all.data) abort();
  if (size) memcpy(all.data, given, size);
  memcpy(all.data + size, OPTION, sizeof OPTION - 1);
  return all;
}

static PJRT_Error *compile(PJRT_Client_Compile_Args *args) {
  const PJRT_Program *given = args->program;
  const char *given_options = args->compile_options;
  size_t given_size = args->compile_options_size;
  PJRT_Program program = *given;
  char *rewritten = NULL, *problem = NULL;
  if (rewrite && given->format_size == 4 && !memcmp(given->format, "mlir", 4))
    rewritten = rewrite(given->code, given->code_size, &program.code_size, &problem);
  if (problem) {
    fprintf(stderr, "%s\n", problem);
    return own_error(problem);
  }
  if (rewritten) {
    program.code = rewritten;
    args->program = &program;
  }
  struct bytes options = with_options(args->compile_options, args->compile_options_size);
  args->compile_options = options.data;
  args->compile_options_size = options.size;
  char path[PATH_MAX];
  struct bytes key = key_of(args);
  bool may = path_of(key, path);
  PJRT_Error *error = NULL;
  if (!may || !(args->executable = load(path, key, args->client))) {
    error = real->PJRT_Client_Compile(args);
    if (may && !error) keep_compiled(path, key, args->executable);
  }
  args->program = given;
  args->compile_options = given_options;
  args->compile_options_size = given_size;
  free(key.data);
  free(options.data);
  free(rewritten);
  malloc_trim(0);
  PJRT_Executable_GetCompiledMemoryStats_Args memory;
  if (!error && memory_of(args->executable, &memory)) {
    note_large(args->executable, memory.temp_size_in_bytes);
    if ((error = too_large(&memory))) {
      PJRT_LoadedExecutable_Destroy_Args away = ARGS(PJRT_LoadedExecutable_Destroy, .executable = args->executable);
      failed(destroy(&away));
      args->executable = NULL;
    }
  }
  return error;
}

static PJRT_Error *attributes(PJRT_Plugin_Attributes_Args *args) {
  static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;
  static PJRT_NamedValue *all; // lives as long as the process
  static const char NAME[] = "convbook_onednn";
  PJRT_Error *error = real->PJRT_Plugin_Attributes(args);
  if (error) return error;
  pthread_mutex_lock(&filling);
  if (!all && (all = calloc(args->num_attributes + 1, sizeof *all))) {
    memcpy(all, args->attributes, args->num_attributes * sizeof *all);
    all[args->num_attributes] = (PJRT_NamedValue){.struct_size = PJRT_NamedValue_STRUCT_SIZE,
      .name = NAME,
      .name_size = strlen(NAME),
      .type = PJRT_NamedValue_kBool,
      .bool_value = rewrite != NULL,
      .value_size = 1};
  }
  pthread_mutex_unlock(&filling);
  if (!all) return NULL;
  args->attributes = all;
  args->num_attributes++;
  return NULL;
}

static PJRT_Api *table;

// from_here writes the path of a file that is named from the folder of this plugin, and tells whether it could.
static bool from_here(const char *name, char path[PATH_MAX]) {
  Dl_info here;
  const char *slash = dladdr(&real, &here) ? strrchr(here.dli_fname, '/') : NULL;
  return slash && snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - here.dli_fname), here.dli_fname, name) < PATH_MAX;
}

// With these in the environment, as for other work, OpenMP binds every thread that calls it to one core, be it XLA's.
static const char *const BINDING[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"};

static void make_table(void) {
  void *library = from_here(REAL_PLUGIN, real_path) ? dlopen(real_path, RTLD_LAZY | RTLD_LOCAL) : NULL;
  const PJRT_Api *(*get)(void) = library ? (const PJRT_Api *(*)(void))dlsym(library, "GetPjrtApi") : NULL;
  if (!get || !(real = get()) || !(table = malloc(real->struct_size))) return;
  memcpy(table, real, real->struct_size); // its size, not that of our header: it may have functions that we do not know
  table->PJRT_Client_Compile = compile;
  table->PJRT_LoadedExecutable_Destroy = destroy;
  table->PJRT_LoadedExecutable_Execute = execute;
  table->PJRT_Plugin_Attributes = attributes;
  table->PJRT_Error_Message = error_message;
  table->PJRT_Error_GetCode = error_code;
  table->PJRT_Error_Destroy = error_destroy;
  const char *wish = getenv("CONVBOOK_ONEDNN");
  char path[PATH_MAX];
  bool may = !(wish && !strcmp(wish, "off")) && from_here("onednn.so", path);
  for (size_t i = 0; may && i < sizeof BINDING / sizeof *BINDING; i++) unsetenv(BINDING[i]);
  void *onednn = may ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  bool (*start)(const PJRT_Api *) = onednn ? (bool (*)(const PJRT_Api *))dlsym(onednn, "start") : NULL;
  if (start && start(real)) rewrite = (char *(*)(const char *, size_t, size_t *, char **))dlsym(onednn, "rewrite");
}

// GetPjrtApi is what makes a library a plugin. It gives NULL where the real one does not load; go-xla then goes on to
// look for another.
__attribute__((visibility("default"))) const PJRT_Api *GetPjrtApi(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_table);
  return table;
}
