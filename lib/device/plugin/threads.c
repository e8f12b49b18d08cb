#define _GNU_SOURCE
#include "threads.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

int thread_count(void) {
  cpu_set_t cpus;
  return sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus);
}

int parts_of(int64_t things) {
  int threads = thread_count();
  return threads < things ? threads : (int)things;
}

int64_t range(int64_t things, int part, int parts, int64_t *first) {
  *first = things * part / parts;
  return things * (part + 1) / parts - *first;
}

// job is a piece of work, whose parts the threads take until none is left. The caller takes parts, too, and waits only
// for those that others have begun: so a call ends even if all of XLA's threads are in calls.
struct job {
  bool (*part)(void *work, int i);
  void *work; // who comes when all parts are done does not look at it: it may be gone
  int parts;
  atomic_int users, taken, done;
  atomic_bool failed;
};

static void leave(struct job *job) {
  if (atomic_fetch_sub(&job->users, 1) == 1) free(job);
}

static void take_parts(void *data) {
  struct job *job = data;
  for (int i; (i = atomic_fetch_add(&job->taken, 1)) < job->parts; atomic_fetch_add(&job->done, 1))
    if (!job->part(job->work, i)) job->failed = true;
  leave(job);
}

// schedule asks one of XLA's threads to take parts of the job, and tells whether it will.
static bool schedule(XLA_FFI_CallFrame *call, struct job *job) {
  XLA_FFI_ThreadPool_Schedule_Args args = {
    .struct_size = sizeof args, .context = call->context, .task = take_parts, .data = job};
  XLA_FFI_Error *error = call->api->XLA_FFI_ThreadPool_Schedule(&args);
  if (!error) return true;
  XLA_FFI_Error_Destroy_Args destroy = {.struct_size = sizeof destroy, .error = error};
  call->api->XLA_FFI_Error_Destroy(&destroy);
  return false;
}

bool each(XLA_FFI_CallFrame *call, int parts, bool (*part)(void *work, int i), void *work) {
  struct job *job = calloc(1, sizeof *job);
  if (!job) return false;
  job->part = part;
  job->work = work;
  job->parts = parts;
  job->users = parts + 1; // the threads that take parts, and this one once more while it waits
  int others = parts - 1;
  while (others > 0 && schedule(call, job)) others--;
  for (; others > 0; others--) leave(job); // who was not asked: the parts are left to the others
  take_parts(job);
  for (int spins = 0; job->done < parts; spins++) {
    if (spins < 1000) __builtin_ia32_pause();
    else sched_yield();
  }
  bool done = !job->failed;
  leave(job);
  return done;
}
