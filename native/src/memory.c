// Shared memory without names: memfds, mappings of them, and ArrayBuffers over those mappings.
//
//   shared mapping    MAP_SHARED, a part of a memfd: control pages, claim pages, ranges a process writes objects into. One ArrayBuffer a
//                     mapping; its finalizer unmaps.
//   private mapping   MAP_PRIVATE | MAP_NORESERVE of a whole memfd, read and write: what readers see. A reader's write goes to its own copy of
//                     that page. Mapped once a process and never unmapped, so a late finalizer of a view can do no harm.
//
// ArrayBuffers over the private mapping own nothing: which object they belong to, and when its pin may be cleared, is decided in
// runtime/store. `dontNeed` gives a range's private pages back; without it a later reader of the same range would see stale bytes.

#include "bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES 512
#define PRIVATE_MAPS_MAX 16

typedef struct {
  void *base;
  size_t length;
} mapping;

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  mapping *map = hint;
  (void)data;
  munmap(map->base, map->length);
  free(map);
}

static napi_value create_memory(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  int fd = memfd_create("troupe", MFD_CLOEXEC);
  if (fd < 0) return bridge_throw(env, errno, "memfd_create");
  if (fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bridge_number(env, args[0])) < 0) {
    int error = errno;
    close(fd);
    return bridge_throw(env, error, "ftruncate of a memfd");
  }
  return bridge_of_number(env, fd);
}

// mapShared(path, offset, length, populate) -> ArrayBuffer
static napi_value map_shared(napi_env env, napi_callback_info info) {
  napi_value args[4];
  char path[PATH_MAX_BYTES];
  bridge_args(env, info, 4, args);
  if (!bridge_text(env, args[0], path, sizeof path)) return bridge_throw(env, EINVAL, "the path of a memory");
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return bridge_throw(env, errno, "open of a memory");
  size_t length = (size_t)bridge_number(env, args[2]);
  int flags = MAP_SHARED | (bridge_bool(env, args[3]) ? MAP_POPULATE : 0);
  void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, (off_t)bridge_number(env, args[1]));
  int error = errno;
  close(fd);
  if (base == MAP_FAILED) return bridge_throw(env, error, "mmap of a shared range");
  mapping *map = malloc(sizeof *map);
  if (map == NULL) {
    munmap(base, length);
    return bridge_throw(env, ENOMEM, "malloc");
  }
  map->base = base;
  map->length = length;
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, base, length, unmap, map, &buffer) != napi_ok) {
    munmap(base, length);
    free(map);
    return bridge_throw(env, EINVAL, "an ArrayBuffer over shared memory");
  }
  return buffer;
}

// Private mappings live as long as the process; a handle is an index here. Written on the main thread and by worker threads that
// open a store of their own, each slot once.
static mapping private_maps[PRIVATE_MAPS_MAX];
static int private_count = 0;

// mapPrivate(path, length) -> handle
static napi_value map_private(napi_env env, napi_callback_info info) {
  napi_value args[2];
  char path[PATH_MAX_BYTES];
  bridge_args(env, info, 2, args);
  if (!bridge_text(env, args[0], path, sizeof path)) return bridge_throw(env, EINVAL, "the path of a memory");
  int handle = __atomic_fetch_add(&private_count, 1, __ATOMIC_SEQ_CST);
  if (handle >= PRIVATE_MAPS_MAX) return bridge_throw(env, EMFILE, "one more private mapping");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return bridge_throw(env, errno, "open of a memory");
  size_t length = (size_t)bridge_number(env, args[1]);
  void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  int error = errno;
  close(fd);
  if (base == MAP_FAILED) return bridge_throw(env, error, "mmap of the store");
  madvise(base, length, MADV_DONTDUMP);
  madvise(base, length, MADV_DONTFORK);
  private_maps[handle].base = base;
  private_maps[handle].length = length;
  return bridge_of_number(env, handle);
}

static char *private_range(double handle, double offset, double length) {
  if (handle < 0 || handle >= PRIVATE_MAPS_MAX) return NULL;
  mapping *map = &private_maps[(int)handle];
  if (map->base == NULL || offset < 0 || length < 0 || offset + length > (double)map->length) return NULL;
  return (char *)map->base + (size_t)offset;
}

// viewPrivate(handle, offset, length) -> ArrayBuffer
static napi_value view_private(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  double length = bridge_number(env, args[2]);
  char *start = private_range(bridge_number(env, args[0]), bridge_number(env, args[1]), length);
  if (start == NULL) return bridge_throw(env, EINVAL, "a view beyond the store");
  napi_value buffer;
  napi_status status = napi_create_external_arraybuffer(env, start, (size_t)length, NULL, NULL, &buffer);
  if (status == napi_ok) return buffer;
  // Runtimes with a memory cage allow no external buffers: the view is a copy there.
  void *copy;
  if (napi_create_arraybuffer(env, (size_t)length, &copy, &buffer) != napi_ok) return bridge_throw(env, ENOMEM, "an ArrayBuffer");
  __builtin_memcpy(copy, start, (size_t)length);
  return buffer;
}

// dontNeed(handle, offset, length): the range's private pages are dropped.
static napi_value dont_need(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  double length = bridge_number(env, args[2]);
  char *start = private_range(bridge_number(env, args[0]), bridge_number(env, args[1]), length);
  if (start == NULL) return bridge_throw(env, EINVAL, "a range beyond the store");
  if (madvise(start, (size_t)length, MADV_DONTNEED) < 0) return bridge_throw(env, errno, "madvise");
  return NULL;
}

static napi_value detach(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  napi_detach_arraybuffer(env, args[0]);
  return NULL;
}

void memory_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "createMemory", create_memory);
  EXPORT(env, exports, "mapShared", map_shared);
  EXPORT(env, exports, "mapPrivate", map_private);
  EXPORT(env, exports, "viewPrivate", view_private);
  EXPORT(env, exports, "dontNeed", dont_need);
  EXPORT(env, exports, "detach", detach);
}
