// Shared memory without names: memfds, mappings of them, and ArrayBuffers over those mappings.
//
//   shared    MAP_SHARED, a part of a memfd: control pages, claim pages, ranges a process writes objects into.
//   private   MAP_PRIVATE | MAP_NORESERVE of a whole memfd, read and write: what readers see. A reader's write goes to its own copy of
//             that page.
//
// A mapping is either one ArrayBuffer, whose finalizer unmaps (mapShared), or a handle with views (mapRange, view). Those are counted: the
// handle and every view hold the mapping, and the last finalizer unmaps, whatever order they run in.
//
// Which object a view belongs to, and when its pin may be cleared, is decided in runtime/store. `dontNeed` gives a range's private pages
// back; without it a later reader of the same range would see stale bytes.

#include "bridge.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES 512
#define PAGEMAP_ENTRIES 4096
// Node 20 aborts on external buffers that are larger; later ones take them.
#define EXTERNAL_MAX ((double)4294967296.0)

static uint32_t node_major = 0;

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  mapping *map = hint;
  munmap(map->base, map->length);
  free(map);
}

static void let_go(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  mapping *map = hint;
  if (__atomic_sub_fetch(&map->holders, 1, __ATOMIC_ACQ_REL) > 0) return;
  munmap(map->base, map->length);
  free(map);
}

static bool too_long(double length) { return node_major < 22 && length >= EXTERNAL_MAX; }

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

// closeMemory(fd): the bytes stay until the last mapping is gone.
static napi_value close_memory(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  if (close((int)bridge_number(env, args[0])) < 0) return bridge_throw(env, errno, "close of a memory");
  return NULL;
}

// reserve(fd, offset, length): the file has blocks for the range, or this throws: a mapping of it raises no SIGBUS.
static napi_value reserve(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  int fd = (int)bridge_number(env, args[0]);
  if (fallocate(fd, 0, (off_t)bridge_number(env, args[1]), (off_t)bridge_number(env, args[2])) < 0) {
    return bridge_throw(env, errno, "reserving a part of a file");
  }
  return NULL;
}

// punch(fd, offset, length): the blocks of the range go back to the disk.
static napi_value punch(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  int fd = (int)bridge_number(env, args[0]);
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(fd, mode, (off_t)bridge_number(env, args[1]), (off_t)bridge_number(env, args[2])) < 0) {
    return bridge_throw(env, errno, "giving back a part of a file");
  }
  return NULL;
}

// Maps a part of a file; NULL and errno when it can't.
mapping *memory_map(const char *path, double offset, double length, bool shared) {
  int fd = open(path, (shared ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  if (fd < 0) return NULL;
  mapping *map = malloc(sizeof *map);
  void *base = MAP_FAILED;
  if (map != NULL) {
    int flags = shared ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
    base = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
  }
  int error = errno;
  close(fd);
  if (base == MAP_FAILED) {
    free(map);
    errno = error;
    return NULL;
  }
  *map = (mapping){.base = base, .length = (size_t)length, .holders = 1};
  return map;
}

// mapShared(path, offset, length) -> ArrayBuffer
static napi_value map_shared(napi_env env, napi_callback_info info) {
  napi_value args[3];
  char path[PATH_MAX_BYTES];
  bridge_args(env, info, 3, args);
  if (!bridge_text(env, args[0], path, sizeof path)) return bridge_throw(env, EINVAL, "the path of a memory");
  double length = bridge_number(env, args[2]);
  if (too_long(length)) return bridge_throw(env, EINVAL, "one ArrayBuffer of 4 GiB or more on this version of Node");
  mapping *map = memory_map(path, bridge_number(env, args[1]), length, true);
  if (map == NULL) return bridge_throw(env, errno, "mapping a shared range");
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, map->base, map->length, unmap, map, &buffer) != napi_ok) {
    unmap(env, NULL, map);
    return bridge_throw(env, EINVAL, "an ArrayBuffer over shared memory");
  }
  return buffer;
}

// mapRange(path, offset, length, shared) -> handle
static napi_value map_range(napi_env env, napi_callback_info info) {
  napi_value args[4], handle;
  char path[PATH_MAX_BYTES];
  bridge_args(env, info, 4, args);
  if (!bridge_text(env, args[0], path, sizeof path)) return bridge_throw(env, EINVAL, "the path of a memory");
  mapping *map = memory_map(path, bridge_number(env, args[1]), bridge_number(env, args[2]), bridge_bool(env, args[3]));
  if (map == NULL) return bridge_throw(env, errno, "mapping the store");
  madvise(map->base, map->length, MADV_DONTDUMP);
  madvise(map->base, map->length, MADV_DONTFORK);
  if (napi_create_external(env, map, let_go, map, &handle) != napi_ok) {
    let_go(env, NULL, map);
    return bridge_throw(env, EINVAL, "a handle of the store");
  }
  return handle;
}

char *memory_range(napi_env env, napi_value handle, napi_value offset, napi_value length, mapping **holder) {
  void *data = NULL;
  if (napi_get_value_external(env, handle, &data) != napi_ok || data == NULL) return NULL;
  mapping *map = data;
  double start = bridge_number(env, offset), bytes = bridge_number(env, length);
  // Written so that NaN fails too.
  if (!(start >= 0 && bytes >= 0 && start + bytes <= (double)map->length)) return NULL;
  *holder = map;
  return (char *)map->base + (size_t)start;
}

// view(handle, offset, length) -> ArrayBuffer
static napi_value view(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  mapping *map;
  char *start = memory_range(env, args[0], args[1], args[2], &map);
  if (start == NULL) return bridge_throw(env, EINVAL, "a view beyond the store");
  double length = bridge_number(env, args[2]);
  napi_value buffer;
  if (!too_long(length)) {
    __atomic_add_fetch(&map->holders, 1, __ATOMIC_RELAXED);
    if (napi_create_external_arraybuffer(env, start, (size_t)length, let_go, map, &buffer) == napi_ok) return buffer;
    let_go(env, NULL, map);
  }
  // Runtimes with a memory cage allow no external buffers, and Node 20 none of 4 GiB: the view is a copy there.
  void *copy;
  if (napi_create_arraybuffer(env, (size_t)length, &copy, &buffer) != napi_ok) return bridge_throw(env, ENOMEM, "an ArrayBuffer");
  memcpy(copy, start, (size_t)length);
  return buffer;
}

// dontNeed(handle, offset, length): the range's private pages are dropped.
static napi_value dont_need(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bridge_args(env, info, 3, args);
  mapping *map;
  char *start = memory_range(env, args[0], args[1], args[2], &map);
  if (start == NULL) return bridge_throw(env, EINVAL, "a range beyond the store");
  if (madvise(start, (size_t)bridge_number(env, args[2]), MADV_DONTNEED) < 0) return bridge_throw(env, errno, "madvise");
  return NULL;
}

// isWritten(handle, offset, length) -> whether this process has pages of its own there: bytes that it wrote to a private mapping. The page
// map tells (Documentation/admin-guide/mm/pagemap.rst): bit 63 present, 62 swapped, 61 a page of the file.
static napi_value is_written(napi_env env, napi_callback_info info) {
  napi_value args[3], answer;
  bridge_args(env, info, 3, args);
  mapping *map;
  char *start = memory_range(env, args[0], args[1], args[2], &map);
  if (start == NULL) return bridge_throw(env, EINVAL, "a range beyond the store");
  int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return bridge_throw(env, errno, "opening the page map");
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t first = (size_t)start / page, count = ((size_t)bridge_number(env, args[2]) + page - 1) / page;
  uint64_t entries[PAGEMAP_ENTRIES];
  bool written = false;
  while (count > 0 && !written) {
    size_t wanted = count < PAGEMAP_ENTRIES ? count : PAGEMAP_ENTRIES;
    ssize_t got = pread(fd, entries, wanted * sizeof entries[0], (off_t)(first * sizeof entries[0]));
    if (got < (ssize_t)sizeof entries[0]) {
      int error = got < 0 ? errno : EIO;
      close(fd);
      return bridge_throw(env, error, "reading the page map");
    }
    size_t read = (size_t)got / sizeof entries[0];
    for (size_t at = 0; at < read && !written; at += 1) written = (entries[at] >> 62) != 0 && ((entries[at] >> 61) & 1) == 0;
    first += read;
    count -= read;
  }
  close(fd);
  napi_get_boolean(env, written, &answer);
  return answer;
}

static napi_value detach(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  if (napi_detach_arraybuffer(env, args[0]) != napi_ok) return bridge_throw(env, EINVAL, "detaching an ArrayBuffer");
  return NULL;
}

void memory_exports(napi_env env, napi_value exports) {
  const napi_node_version *version;
  if (napi_get_node_version(env, &version) == napi_ok) __atomic_store_n(&node_major, version->major, __ATOMIC_RELAXED);
  EXPORT(env, exports, "createMemory", create_memory);
  EXPORT(env, exports, "closeMemory", close_memory);
  EXPORT(env, exports, "reserve", reserve);
  EXPORT(env, exports, "punch", punch);
  EXPORT(env, exports, "mapShared", map_shared);
  EXPORT(env, exports, "mapRange", map_range);
  EXPORT(env, exports, "view", view);
  EXPORT(env, exports, "dontNeed", dont_need);
  EXPORT(env, exports, "isWritten", is_written);
  EXPORT(env, exports, "detach", detach);
}
