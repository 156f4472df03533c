// Work on large ranges off the event loop. Each answers with a promise and is cut in two that run side by side on pool threads: one
// thread does not fill the memory bus.
//
//   copy(target, targetOffset, source, sourceOffset, length)
//   populate(target, offset, length)      allocates and maps the pages of shared memory; a full machine is ENOMEM here, and not a
//                                         SIGBUS at the first write
//   dropPages(handle, offset, length)     dontNeed for ranges that take long
//
// A target is an ArrayBuffer or the handle of a mapping: no ArrayBuffer is made over a range that JavaScript does not look at, for V8 collects
// garbage by the bytes of those that are made. What a job works on is referenced until its end. Nobody may detach such a buffer
// meanwhile: runtime/store waits with that.

#include "bridge.h"
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

typedef enum { COPY, POPULATE, DROP } job_kind;

typedef struct range_job range_job;
typedef struct {
  range_job *job;
  napi_async_work work;
  char *target;
  const char *source;
  size_t length;
} job_part;
struct range_job {
  job_kind kind;
  napi_deferred deferred;
  napi_ref target, source;
  int open;
  int error;
  job_part parts[2];
};

static const char *const CALLS[] = {"a copy", "making room in the store", "giving pages back"};

// A read of a shared mapping allocates what is missing and maps it writable, many pages at a time where they exist: a third of the time
// that MADV_POPULATE_WRITE takes. Old kernels know neither: touching every page does it, at the risk that the other way avoids.
static int populate_pages(char *start, size_t length) {
  if (madvise(start, length, MADV_POPULATE_READ) == 0) return 0;
  if (errno == EFAULT) return ENOMEM;
  if (errno != EINVAL) return errno;
  for (size_t at = 0; at < length; at += 4096) __atomic_fetch_or(start + at, 0, __ATOMIC_RELAXED);
  return 0;
}

#define HUGE_PAGE ((size_t)2 << 20)
#define LOOKS 8

// Memory that was never written reads as zeros, and finding that out page by page takes longer than the copy: such a source is read in huge
// pages. Looked at in a few places only; what was written stays as it is.
static void ease_reading(const char *source, size_t length) {
  uintptr_t first = ((uintptr_t)source + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), end = ((uintptr_t)source + length) & ~(HUGE_PAGE - 1);
  if (end <= first || end - first < 2 * HUGE_PAGE) return;
  size_t step = ((end - first) / LOOKS) & ~(size_t)4095;
  for (int look = 0; look < LOOKS; look += 1) {
    unsigned char present = 1;
    if (mincore((void *)(first + look * step), 4096, &present) < 0) return;
    if ((present & 1) != 0) continue;
    // Where the system has no such pages, or not for this memory, nothing is gained.
    (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
    return;
  }
}

static void run_part(napi_env env, void *data) {
  (void)env;
  job_part *part = data;
  int error = 0;
  if (part->length == 0) return;
  if (part->job->kind == COPY) memcpy(part->target, part->source, part->length);
  else if (part->job->kind == POPULATE) error = populate_pages(part->target, part->length);
  else if (madvise(part->target, part->length, MADV_DONTNEED) < 0) error = errno;
  if (error != 0) __atomic_store_n(&part->job->error, error, __ATOMIC_RELAXED);
}

static void end_part(napi_env env, napi_status status, void *data) {
  job_part *part = data;
  range_job *job = part->job;
  napi_delete_async_work(env, part->work);
  if (status != napi_ok) job->error = ECANCELED;
  if (--job->open > 0) return;
  if (job->error == 0) {
    napi_value nothing = NULL;
    napi_get_undefined(env, &nothing);
    napi_resolve_deferred(env, job->deferred, nothing);
  } else {
    napi_reject_deferred(env, job->deferred, bridge_error(env, job->error, CALLS[job->kind]));
  }
  napi_delete_reference(env, job->target);
  if (job->source != NULL) napi_delete_reference(env, job->source);
  free(job);
}

// Of an ArrayBuffer.
static char *bytes_of(napi_env env, napi_value buffer, double offset, double length) {
  void *data;
  size_t size;
  if (napi_get_arraybuffer_info(env, buffer, &data, &size) != napi_ok) return NULL;
  if (!(offset >= 0 && length >= 0 && offset + length <= (double)size)) return NULL;
  return (char *)data + (size_t)offset;
}

// Of an ArrayBuffer, or of the handle of a mapping.
static char *target_of(napi_env env, napi_value target, napi_value offset, napi_value length) {
  mapping *map;
  napi_valuetype type;
  if (napi_typeof(env, target, &type) != napi_ok) return NULL;
  if (type == napi_external) return memory_range(env, target, offset, length, &map);
  return bytes_of(env, target, bridge_number(env, offset), bridge_number(env, length));
}

// `holders` are kept from collection until the job ends; the second may be NULL.
static napi_value start_job(napi_env env, job_kind kind, char *target, const char *source, size_t length, const napi_value holders[2]) {
  napi_value promise = NULL, name = NULL;
  range_job *job = calloc(1, sizeof *job);
  if (job == NULL) return bridge_throw(env, ENOMEM, "malloc");
  job->kind = kind;
  // Refused while the thread is being terminated: then nobody waits for the job, and nothing may be returned that was not made.
  if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
    free(job);
    return NULL;
  }
  napi_create_reference(env, holders[0], 1, &job->target);
  if (holders[1] != NULL) napi_create_reference(env, holders[1], 1, &job->source);
  // Cut at a page: the halves share neither a cache line nor a page.
  size_t half = (length / 2) & ~(size_t)4095;
  job->parts[0] = (job_part){job, NULL, target, source, half};
  job->parts[1] = (job_part){job, NULL, target + half, source == NULL ? NULL : source + half, length - half};
  job->open = 2;
  napi_create_string_utf8(env, "troupe.range", NAPI_AUTO_LENGTH, &name);
  for (int index = 0; index < 2; index += 1) {
    job_part *part = &job->parts[index];
    napi_create_async_work(env, NULL, name, run_part, end_part, part, &part->work);
    napi_queue_async_work(env, part->work);
  }
  return promise;
}

static napi_value copy(napi_env env, napi_callback_info info) {
  napi_value args[5];
  bridge_args(env, info, 5, args);
  double length = bridge_number(env, args[4]);
  char *target = target_of(env, args[0], args[1], args[4]);
  char *source = bytes_of(env, args[2], bridge_number(env, args[3]), length);
  if (target == NULL || source == NULL) return bridge_throw(env, EINVAL, "a copy beyond its buffers");
  ease_reading(source, (size_t)length);
  const napi_value holders[2] = {args[0], args[2]};
  return start_job(env, COPY, target, source, (size_t)length, holders);
}

static napi_value populate(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  char *target = target_of(env, args[0], args[1], args[2]);
  if (target == NULL) return bridge_throw(env, EINVAL, "pages beyond their buffer");
  const napi_value holders[2] = {args[0], NULL};
  return start_job(env, POPULATE, target, NULL, (size_t)bridge_number(env, args[2]), holders);
}

static napi_value drop_pages(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  mapping *map;
  char *target = memory_range(env, args[0], args[1], args[2], &map);
  if (target == NULL) return bridge_throw(env, EINVAL, "a range beyond the store");
  const napi_value holders[2] = {args[0], NULL};
  return start_job(env, DROP, target, NULL, (size_t)bridge_number(env, args[2]), holders);
}

void copy_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "copy", copy);
  EXPORT(env, exports, "populate", populate);
  EXPORT(env, exports, "dropPages", drop_pages);
}
