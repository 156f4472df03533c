// Large copies off the event loop: copy(target, targetOffset, source, sourceOffset, length) -> Promise<void>.
//
// The copy is cut in two that run side by side on pool threads: one thread does not fill the memory bus. Both ArrayBuffers are
// referenced until the end; whoever detaches or writes one meanwhile breaks the promise of StoreClient.put, not this process.

#include "bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct copy_job copy_job;
typedef struct {
  copy_job *job;
  napi_async_work work;
  char *target;
  const char *source;
  size_t length;
} copy_part;
struct copy_job {
  napi_deferred deferred;
  napi_ref target, source;
  int open;
  copy_part parts[2];
};

static void run_part(napi_env env, void *data) {
  (void)env;
  copy_part *part = data;
  memcpy(part->target, part->source, part->length);
}

static void end_part(napi_env env, napi_status status, void *data) {
  (void)status;
  copy_part *part = data;
  copy_job *job = part->job;
  napi_delete_async_work(env, part->work);
  if (--job->open > 0) return;
  napi_value nothing;
  napi_get_undefined(env, &nothing);
  napi_resolve_deferred(env, job->deferred, nothing);
  napi_delete_reference(env, job->target);
  napi_delete_reference(env, job->source);
  free(job);
}

static char *bytes_of(napi_env env, napi_value buffer, double offset, double length) {
  void *data;
  size_t size;
  if (napi_get_arraybuffer_info(env, buffer, &data, &size) != napi_ok) return NULL;
  if (offset < 0 || length < 0 || offset + length > (double)size) return NULL;
  return (char *)data + (size_t)offset;
}

static napi_value copy(napi_env env, napi_callback_info info) {
  napi_value args[5], promise;
  bridge_args(env, info, 5, args);
  double length = bridge_number(env, args[4]);
  char *target = bytes_of(env, args[0], bridge_number(env, args[1]), length);
  char *source = bytes_of(env, args[2], bridge_number(env, args[3]), length);
  if (target == NULL || source == NULL) return bridge_throw(env, EINVAL, "a copy beyond its buffers");
  copy_job *job = calloc(1, sizeof *job);
  if (job == NULL) return bridge_throw(env, ENOMEM, "malloc");
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_reference(env, args[0], 1, &job->target);
  napi_create_reference(env, args[2], 1, &job->source);
  // Cut at a page, so that the halves share no cache line.
  size_t half = ((size_t)length / 2) & ~(size_t)4095;
  job->parts[0] = (copy_part){job, NULL, target, source, half};
  job->parts[1] = (copy_part){job, NULL, target + half, source + half, (size_t)length - half};
  job->open = 2;
  napi_value name;
  napi_create_string_utf8(env, "troupe.copy", NAPI_AUTO_LENGTH, &name);
  for (int index = 0; index < 2; index += 1) {
    copy_part *part = &job->parts[index];
    napi_create_async_work(env, NULL, name, run_part, end_part, part, &part->work);
    napi_queue_async_work(env, part->work);
  }
  return promise;
}

void copy_exports(napi_env env, napi_value exports) { EXPORT(env, exports, "copy", copy); }
