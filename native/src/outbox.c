// Outboxes: writers of stream sockets whose bytes leave even while the event loop is blocked.
//
//   openOutbox(fd) -> handle
//   outboxAppend(handle, bytes, offset, length, flushNow) -> bytes pending, or a negative errno
//   outboxPending(handle), outboxFlush(handle) -> the same
//   outboxClose(handle)                   drops what is pending and closes its duplicate of the descriptor
//
// Bytes that are not to leave now wait for the next flush, at most LATE_MS: then one native thread sends them. What the operating system
// does not take stays pending and is sent by that thread as soon as the socket takes more. An outbox has its own mutex, held by one side
// while it writes, so bytes keep their order. The thread ticks while there is something to do and for LINGER_MS more, so that a busy
// loop's appends need no system call to wake it.

#include "bridge.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#define LATE_MS 1
#define LINGER_MS 20
#define BOXES_MAX 4096
#define FIRST_BYTES 4096

typedef struct outbox outbox;
struct outbox {
  pthread_mutex_t lock;
  int fd;
  int error;
  bool closed;
  // JavaScript's handle, and the thread while it works on it.
  int holders;
  int64_t since_us;
  char *bytes;
  size_t start, end, room;
  outbox *next;
};

// Guards the list and the thread's state; never taken while an outbox is locked.
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static outbox *boxes = NULL;
static int box_count = 0;
static int wake_fd = -1;
static bool started = false;
static bool ticking = false;

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void let_go(outbox *box) {
  if (__atomic_sub_fetch(&box->holders, 1, __ATOMIC_ACQ_REL) > 0) return;
  if (box->fd >= 0) close(box->fd);
  pthread_mutex_destroy(&box->lock);
  free(box->bytes);
  free(box);
}

// Under the box's lock.
static size_t send_some(outbox *box, const char *bytes, size_t length) {
  size_t sent = 0;
  while (sent < length) {
    ssize_t took = send(box->fd, bytes + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (took > 0) sent += (size_t)took;
    else if (took < 0 && errno == EINTR) continue;
    else if (took < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    else {
      box->error = took < 0 ? errno : EPIPE;
      break;
    }
  }
  return sent;
}

// Under the box's lock.
static void send_pending(outbox *box) {
  if (box->start < box->end && box->error == 0) box->start += send_some(box, box->bytes + box->start, box->end - box->start);
  if (box->start < box->end) return;
  box->start = box->end = 0;
}

// Under the box's lock.
static bool keep(outbox *box, const char *bytes, size_t length) {
  if (box->start > 0 && box->end + length > box->room) {
    memmove(box->bytes, box->bytes + box->start, box->end - box->start);
    box->end -= box->start;
    box->start = 0;
  }
  if (box->end + length > box->room) {
    size_t room = box->room == 0 ? FIRST_BYTES : box->room;
    while (room < box->end + length) room *= 2;
    char *grown = realloc(box->bytes, room);
    if (grown == NULL) return false;
    box->bytes = grown;
    box->room = room;
  }
  if (box->start == box->end) box->since_us = now_us();
  memcpy(box->bytes + box->end, bytes, length);
  box->end += length;
  return true;
}

// One round of the thread: sends what is late. Fills `waiting` with sockets that took nothing; returns how many boxes have bytes.
static int round_of(struct pollfd *waiting, int *waiting_count) {
  outbox *held[64];
  int busy = 0;
  *waiting_count = 0;
  pthread_mutex_lock(&guard);
  for (outbox *box = boxes; box != NULL;) {
    int count = 0;
    for (; box != NULL && count < 64; box = box->next) {
      __atomic_add_fetch(&box->holders, 1, __ATOMIC_RELAXED);
      held[count++] = box;
    }
    pthread_mutex_unlock(&guard);
    for (int index = 0; index < count; index += 1) {
      outbox *one = held[index];
      pthread_mutex_lock(&one->lock);
      if (!one->closed && one->error == 0 && one->start < one->end) {
        if (now_us() - one->since_us >= LATE_MS * 1000) send_pending(one);
        if (one->start < one->end && one->error == 0) {
          busy += 1;
          if (now_us() - one->since_us >= LATE_MS * 1000) waiting[(*waiting_count)++] = (struct pollfd){one->fd, POLLOUT, 0};
        }
      }
      pthread_mutex_unlock(&one->lock);
    }
    pthread_mutex_lock(&guard);
    // The next of the last one is read while that one is still held, and links change only under the guard.
    // A closed one leads nowhere any more: the rest is for the next round.
    if (held[count - 1]->closed) busy += 1;
    box = held[count - 1]->closed ? NULL : held[count - 1]->next;
    for (int index = 0; index < count; index += 1) let_go(held[index]);
  }
  pthread_mutex_unlock(&guard);
  return busy;
}

static void *run(void *nothing) {
  (void)nothing;
  static struct pollfd waiting[BOXES_MAX + 1];
  int64_t idle_since = now_us();
  for (;;) {
    int count = 0;
    int busy = round_of(waiting + 1, &count);
    if (busy > 0) idle_since = now_us();
    waiting[0] = (struct pollfd){wake_fd, POLLIN, 0};
    bool rest = busy == 0 && now_us() - idle_since > LINGER_MS * 1000;
    if (rest) {
      __atomic_store_n(&ticking, false, __ATOMIC_SEQ_CST);
      // Whoever appended before it saw that is found by one more round.
      if (round_of(waiting + 1, &count) > 0) {
        __atomic_store_n(&ticking, true, __ATOMIC_SEQ_CST);
        continue;
      }
    }
    int ready = poll(waiting, (nfds_t)count + 1, rest ? -1 : LATE_MS);
    uint64_t rung;
    if (ready > 0 && (waiting[0].revents & POLLIN)) (void)!read(wake_fd, &rung, sizeof rung);
    if (rest) idle_since = now_us();
    __atomic_store_n(&ticking, true, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

// Under the guard.
static bool start_thread(void) {
  if (started) return true;
  wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) return false;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  started = pthread_create(&thread, &attributes, run, NULL) == 0;
  if (started) pthread_detach(thread);
  else close(wake_fd);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

static void wake(void) {
  if (__atomic_exchange_n(&ticking, true, __ATOMIC_SEQ_CST)) return;
  uint64_t one = 1;
  (void)!write(wake_fd, &one, sizeof one);
}

static outbox *box_of(napi_env env, napi_value handle) {
  void *data = NULL;
  return napi_get_value_external(env, handle, &data) == napi_ok ? data : NULL;
}

static void unlist(outbox *box) {
  pthread_mutex_lock(&guard);
  outbox **link = &boxes;
  while (*link != NULL && *link != box) link = &(*link)->next;
  if (*link != NULL) {
    *link = box->next;
    box_count -= 1;
  }
  pthread_mutex_lock(&box->lock);
  box->closed = true;
  pthread_mutex_unlock(&box->lock);
  pthread_mutex_unlock(&guard);
}

static void collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  unlist(data);
  let_go(data);
}

static napi_value open_outbox(napi_env env, napi_callback_info info) {
  napi_value args[1], handle;
  bridge_args(env, info, 1, args);
  int fd = fcntl((int)bridge_number(env, args[0]), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return bridge_throw(env, errno, "dup of a socket");
  outbox *box = calloc(1, sizeof *box);
  if (box == NULL) {
    close(fd);
    return bridge_throw(env, ENOMEM, "malloc");
  }
  box->fd = fd;
  box->holders = 1;
  pthread_mutex_init(&box->lock, NULL);
  pthread_mutex_lock(&guard);
  bool taken = box_count < BOXES_MAX && start_thread();
  if (taken) {
    box->next = boxes;
    boxes = box;
    box_count += 1;
  }
  pthread_mutex_unlock(&guard);
  if (!taken || napi_create_external(env, box, collected, NULL, &handle) != napi_ok) {
    if (taken) unlist(box);
    let_go(box);
    return bridge_throw(env, EMFILE, "one more outbox");
  }
  return handle;
}

// Under the box's lock; what every call answers.
static napi_value answer(napi_env env, outbox *box) {
  if (box->error != 0) return bridge_of_number(env, -box->error);
  return bridge_of_number(env, (double)(box->end - box->start));
}

static napi_value append(napi_env env, napi_callback_info info) {
  napi_value args[5];
  bridge_args(env, info, 5, args);
  outbox *box = box_of(env, args[0]);
  void *data;
  size_t size;
  if (box == NULL || napi_get_buffer_info(env, args[1], &data, &size) != napi_ok) return bridge_throw(env, EINVAL, "an outbox's bytes");
  double offset = bridge_number(env, args[2]), length = bridge_number(env, args[3]);
  if (!(offset >= 0 && length >= 0 && offset + length <= (double)size)) return bridge_throw(env, EINVAL, "bytes beyond their buffer");
  const char *bytes = (const char *)data + (size_t)offset;
  size_t left = (size_t)length;
  bool flush_now = bridge_bool(env, args[4]);
  pthread_mutex_lock(&box->lock);
  if (box->closed && box->error == 0) box->error = EPIPE;
  if (flush_now && box->error == 0) {
    send_pending(box);
    if (box->start == box->end && box->error == 0) {
      size_t sent = send_some(box, bytes, left);
      bytes += sent;
      left -= sent;
    }
  }
  if (left > 0 && box->error == 0 && !keep(box, bytes, left)) box->error = ENOMEM;
  bool waits = box->start < box->end && box->error == 0;
  napi_value result = answer(env, box);
  pthread_mutex_unlock(&box->lock);
  if (waits) wake();
  return result;
}

static napi_value flush(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  outbox *box = box_of(env, args[0]);
  if (box == NULL) return bridge_throw(env, EINVAL, "an outbox");
  pthread_mutex_lock(&box->lock);
  if (!box->closed) send_pending(box);
  napi_value result = answer(env, box);
  pthread_mutex_unlock(&box->lock);
  return result;
}

static napi_value pending(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  outbox *box = box_of(env, args[0]);
  if (box == NULL) return bridge_throw(env, EINVAL, "an outbox");
  pthread_mutex_lock(&box->lock);
  napi_value result = answer(env, box);
  pthread_mutex_unlock(&box->lock);
  return result;
}

static napi_value close_outbox(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  outbox *box = box_of(env, args[0]);
  if (box == NULL) return bridge_throw(env, EINVAL, "an outbox");
  unlist(box);
  pthread_mutex_lock(&box->lock);
  if (box->fd >= 0) close(box->fd);
  box->fd = -1;
  box->start = box->end = 0;
  pthread_mutex_unlock(&box->lock);
  return NULL;
}

void outbox_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "openOutbox", open_outbox);
  EXPORT(env, exports, "outboxAppend", append);
  EXPORT(env, exports, "outboxFlush", flush);
  EXPORT(env, exports, "outboxPending", pending);
  EXPORT(env, exports, "outboxClose", close_outbox);
}
