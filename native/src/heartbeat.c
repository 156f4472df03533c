// Blocks of a store's clients in this process: each is beaten by the native thread, and cleared when its environment ends.
//
//   joinBlock(path, offset, bytes, pinsOffset) -> id     maps the block; word 0 gets the monotonic time from now on
//   leaveBlock(id)
//
// A worker thread that is terminated runs no JavaScript any more, so its pins are cleared here: nothing can read what it had pinned. A
// process that dies is the host's business. Times are CLOCK_MONOTONIC in milliseconds, 31 bits: readers take differences.

#include "bridge.h"
#include "memory.h"
#include "watcher.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PATH_MAX_BYTES 512

typedef struct block block;
struct block {
  mapping *map;
  size_t pins;
  int id;
  napi_env env;
  block *next;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static block *blocks = NULL;
static int next_id = 1;

int32_t heartbeat_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  return (int32_t)(ms & 0x7fffffff);
}

void heartbeat_beat(void) {
  pthread_mutex_lock(&guard);
  for (block *one = blocks; one != NULL; one = one->next) {
    __atomic_store_n((int32_t *)one->map->base, heartbeat_now(), __ATOMIC_SEQ_CST);
  }
  pthread_mutex_unlock(&guard);
}

static void discard(block *gone) {
  munmap(gone->map->base, gone->map->length);
  free(gone->map);
  free(gone);
}

// Takes a block off the list: by id, or by identity when the environment ends.
static block *take(int id, const block *exact) {
  pthread_mutex_lock(&guard);
  block **link = &blocks;
  while (*link != NULL && (exact != NULL ? *link != exact : (*link)->id != id)) link = &(*link)->next;
  block *found = *link;
  if (found != NULL) *link = found->next;
  pthread_mutex_unlock(&guard);
  return found;
}

static void env_ended(void *data) {
  block *gone = take(0, data);
  if (gone == NULL) return;
  int32_t *words = gone->map->base;
  for (size_t at = gone->pins / 4; at < gone->map->length / 4; at += 1) __atomic_store_n(words + at, 0, __ATOMIC_SEQ_CST);
  discard(gone);
}

static napi_value join_block(napi_env env, napi_callback_info info) {
  napi_value args[4];
  char path[PATH_MAX_BYTES];
  bridge_args(env, info, 4, args);
  if (!bridge_text(env, args[0], path, sizeof path)) return bridge_throw(env, EINVAL, "the path of a memory");
  block *made = calloc(1, sizeof *made);
  if (made == NULL) return bridge_throw(env, ENOMEM, "malloc");
  made->map = memory_map(path, bridge_number(env, args[1]), bridge_number(env, args[2]), true);
  if (made->map == NULL) {
    int error = errno;
    free(made);
    return bridge_throw(env, error, "mapping a client's block");
  }
  made->pins = (size_t)bridge_number(env, args[3]);
  made->env = env;
  pthread_mutex_lock(&guard);
  int id = made->id = next_id++;
  made->next = blocks;
  blocks = made;
  pthread_mutex_unlock(&guard);
  napi_add_env_cleanup_hook(env, env_ended, made);
  heartbeat_beat();
  if (!watcher_start()) return bridge_throw(env, EAGAIN, "pthread_create");
  return bridge_of_number(env, id);
}

static napi_value leave_block(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  block *gone = take((int)bridge_number(env, args[0]), NULL);
  if (gone == NULL) return NULL;
  napi_remove_env_cleanup_hook(gone->env, env_ended, gone);
  discard(gone);
  return NULL;
}

// monotonicMs() -> what heartbeats are compared with
static napi_value monotonic_ms(napi_env env, napi_callback_info info) {
  (void)info;
  return bridge_of_number(env, heartbeat_now());
}

void heartbeat_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "joinBlock", join_block);
  EXPORT(env, exports, "leaveBlock", leave_block);
  EXPORT(env, exports, "monotonicMs", monotonic_ms);
}
