// Porters: bytes between stream sockets and memory, carried by native threads.
//
//   openPorter(fd, told) -> handle               told(error, left, sum)
//   porterReceive(handle, buffer, offset, length, have)
//   porterSend(handle, head, length, bytes)      -> bytes that are to leave; `bytes` may be undefined
//   porterClose(handle)                          nothing is read from or written to memory any more when it returns. Idempotent
//
// A porter has its own duplicate of the descriptor and goes one way: it receives one range after the other, or sends what it is given in order,
// heads from copies and bytes from where they lie. Of a range to be received the first `have` bytes are there. `told` is called on the loop: with
// what is left to receive or to send, and with the CRC-32 of the range as far as it is there; when nothing is left, after each piece that has left as a whole, and once a second while bytes come.
// An error ends it. What it works on is referenced until then.
//
// All porters share a few threads, which wait for sockets together: each readiness is one thread's, which carries what there is and asks for the
// next. Who works holds the porter's second lock for a piece at a time: closing waits for one piece at most, and nothing else waits at all.

#include "bridge.h"
#include "crc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 4
#define PORTERS_MAX 4096
// So much of what was received is summed while the processor's cache has it.
#define PIECE ((size_t)256 << 10)
// Then others have their turn.
#define TURN ((size_t)4 << 20)
#define TOLD_EVERY_MS 1000

typedef struct load load;
struct load {
  // Of a copy; NULL when nothing goes before the bytes.
  char *head;
  size_t head_at, head_length;
  char *bytes;
  size_t at, length;
  napi_ref holder;
  load *next;
};

typedef struct {
  // Of the fields; and of the socket and the memory, taken first.
  pthread_mutex_t lock, work;
  napi_env env;
  napi_threadsafe_function told;
  // JavaScript's handle, and each thread that works on it.
  int holders;
  uint64_t id;
  int fd;
  bool sends, closing, is_telling;
  int error;
  uint32_t sum;
  int64_t told_at;
  // The first is under way; what was carried is let go of on the loop.
  load *first, *last, *carried;
  size_t left;
} porter;

// Guards the table and the threads; never held together with a porter's lock.
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static porter *porters[PORTERS_MAX];
static uint64_t next_id = 0;
static int poll_fd = -1;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void let_go(porter *one) {
  if (__atomic_sub_fetch(&one->holders, 1, __ATOMIC_ACQ_REL) > 0) return;
  pthread_mutex_destroy(&one->lock);
  pthread_mutex_destroy(&one->work);
  free(one);
}

// Under the lock.
static void tell(porter *one) {
  one->told_at = now_ms();
  if (one->is_telling) return;
  one->is_telling = napi_call_threadsafe_function(one->told, NULL, napi_tsfn_nonblocking) == napi_ok;
}

// Under the lock: the next readiness of the socket is some thread's.
static void await(porter *one) {
  struct epoll_event event = {.events = (one->sends ? EPOLLOUT : EPOLLIN) | EPOLLONESHOT, .data.u64 = one->id};
  if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, one->fd, &event) == 0) return;
  one->error = errno;
  tell(one);
}

// One system call, under the lock of the work. Bytes, or -1 and errno.
static ssize_t receive_some(porter *one, load *job) {
  size_t wanted = job->length - job->at < PIECE ? job->length - job->at : PIECE;
  ssize_t took = recv(one->fd, job->bytes + job->at, wanted, MSG_DONTWAIT);
  if (took < 0) return -1;
  if (took == 0) {
    errno = EPIPE;
    return -1;
  }
  one->sum = crc_of(one->sum, job->bytes + job->at, (size_t)took);
  job->at += (size_t)took;
  return took;
}

static ssize_t send_some(porter *one, load *job) {
  size_t head = job->head_length - job->head_at, rest = job->length - job->at < PIECE ? job->length - job->at : PIECE;
  struct iovec parts[2] = {{job->head + job->head_at, head}, {job->bytes + job->at, rest}};
  struct msghdr message = {.msg_iov = head > 0 ? parts : parts + 1, .msg_iovlen = head > 0 ? 2 : 1};
  // More follows of the same: the system need not send a small packet.
  int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (job->at + rest < job->length ? MSG_MORE : 0);
  ssize_t took = sendmsg(one->fd, &message, flags);
  if (took <= 0) return took;
  size_t of_head = (size_t)took < head ? (size_t)took : head;
  job->head_at += of_head;
  job->at += (size_t)took - of_head;
  return took;
}

// What became of a call for that load. True: there may be more to do at once.
static bool note(porter *one, load *job, ssize_t took, int error) {
  bool goes_on = took >= 0;
  pthread_mutex_lock(&one->lock);
  if (took >= 0) one->left -= (size_t)took;
  if (took >= 0 && job->at == job->length && job->head_at == job->head_length) {
    one->first = job->next;
    if (one->first == NULL) one->last = NULL;
    job->next = one->carried;
    one->carried = job;
    tell(one);
  } else if (took >= 0) {
    if (now_ms() - one->told_at > TOLD_EVERY_MS) tell(one);
  } else if (error == EAGAIN || error == EWOULDBLOCK) {
    await(one);
  } else if (error == EINTR) {
    goes_on = true;
  } else {
    one->error = error;
    tell(one);
  }
  pthread_mutex_unlock(&one->lock);
  return goes_on;
}

// Carries what the socket gives or takes now, until its turn is over.
static void carry(porter *one) {
  for (size_t done = 0;;) {
    pthread_mutex_lock(&one->lock);
    load *job = one->closing || one->error != 0 ? NULL : one->first;
    if (job != NULL && done >= TURN) {
      await(one);
      job = NULL;
    }
    pthread_mutex_unlock(&one->lock);
    if (job == NULL) return;
    ssize_t took = one->sends ? send_some(one, job) : receive_some(one, job);
    if (!note(one, job, took, errno)) return;
    if (took > 0) done += (size_t)took;
  }
}

static porter *held(uint64_t id) {
  pthread_mutex_lock(&guard);
  porter *one = porters[id % PORTERS_MAX];
  if (one != NULL && one->id != id) one = NULL;
  if (one != NULL) __atomic_add_fetch(&one->holders, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&guard);
  return one;
}

static void *run(void *nothing) {
  (void)nothing;
  for (;;) {
    struct epoll_event event;
    if (epoll_wait(poll_fd, &event, 1, -1) < 1) continue;
    porter *one = held(event.data.u64);
    if (one == NULL) continue;
    pthread_mutex_lock(&one->work);
    carry(one);
    pthread_mutex_unlock(&one->work);
    let_go(one);
  }
  return NULL;
}

// Under the guard.
static bool start_threads(void) {
  if (poll_fd >= 0) return true;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return false;
  poll_fd = fd;
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  if (count > THREADS_MAX) count = THREADS_MAX;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  int started = 0;
  for (; started == 0 || started < count; started += 1) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, run, NULL) != 0) break;
    pthread_detach(thread);
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started > 0) return true;
  close(fd);
  poll_fd = -1;
  return false;
}

static void drop(napi_env env, load *job) {
  while (job != NULL) {
    load *next = job->next;
    if (job->holder != NULL) napi_delete_reference(env, job->holder);
    free(job->head);
    free(job);
    job = next;
  }
}

// On the loop. What is left is dropped.
static void end(void *data) {
  porter *one = data;
  pthread_mutex_lock(&one->lock);
  bool was_closing = one->closing;
  one->closing = true;
  pthread_mutex_unlock(&one->lock);
  if (was_closing) return;
  pthread_mutex_lock(&one->work);
  (void)epoll_ctl(poll_fd, EPOLL_CTL_DEL, one->fd, NULL);
  close(one->fd);
  pthread_mutex_unlock(&one->work);
  // From here on no thread looks at the loads, nor calls.
  drop(one->env, one->first);
  drop(one->env, one->carried);
  one->first = one->last = one->carried = NULL;
  pthread_mutex_lock(&guard);
  porters[one->id % PORTERS_MAX] = NULL;
  pthread_mutex_unlock(&guard);
  napi_remove_env_cleanup_hook(one->env, end, one);
  napi_release_threadsafe_function(one->told, napi_tsfn_abort);
}

static void collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  end(data);
  let_go(data);
}

static void on_loop(napi_env env, napi_value callback, void *context, void *nothing) {
  (void)nothing;
  porter *one = context;
  // While the environment ends there is nobody to call, and the porter may be gone.
  if (env == NULL || callback == NULL) return;
  pthread_mutex_lock(&one->lock);
  one->is_telling = false;
  bool closing = one->closing;
  int error = one->error;
  double left = (double)one->left;
  uint32_t sum = one->sum;
  load *done = one->carried;
  one->carried = NULL;
  pthread_mutex_unlock(&one->lock);
  drop(env, done);
  if (closing) return;
  napi_value args[3] = {bridge_of_number(env, error), bridge_of_number(env, left), bridge_of_number(env, sum)}, nobody = NULL;
  napi_get_undefined(env, &nobody);
  napi_call_function(env, nobody, callback, 3, args, NULL);
}

static porter *porter_of(napi_env env, napi_value handle) {
  void *data = NULL;
  return napi_get_value_external(env, handle, &data) == napi_ok ? data : NULL;
}

// A slot of the table that is free, with an id that leads there.
static bool enter(porter *one) {
  for (int tries = 0; tries < PORTERS_MAX; tries += 1) {
    next_id += 1;
    if (porters[next_id % PORTERS_MAX] != NULL) continue;
    one->id = next_id;
    porters[next_id % PORTERS_MAX] = one;
    return true;
  }
  return false;
}

static napi_value open_porter(napi_env env, napi_callback_info info) {
  napi_value args[2], handle = NULL, name = NULL;
  bridge_args(env, info, 2, args);
  int fd = fcntl((int)bridge_number(env, args[0]), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return bridge_throw(env, errno, "dup of a socket");
  porter *one = calloc(1, sizeof *one);
  napi_create_string_utf8(env, "troupe.porter", NAPI_AUTO_LENGTH, &name);
  if (one == NULL || napi_create_threadsafe_function(env, args[1], NULL, name, 0, 1, NULL, NULL, one, on_loop, &one->told) != napi_ok) {
    close(fd);
    free(one);
    return bridge_throw(env, ENOMEM, "a porter");
  }
  napi_unref_threadsafe_function(env, one->told);
  one->env = env;
  one->fd = fd;
  one->holders = 1;
  pthread_mutex_init(&one->lock, NULL);
  pthread_mutex_init(&one->work, NULL);
  pthread_mutex_lock(&guard);
  bool entered = start_threads() && enter(one);
  struct epoll_event event = {.events = 0, .data.u64 = one->id};
  bool polled = entered && epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
  pthread_mutex_unlock(&guard);
  // After the function's own hook, so that it runs before: the function is there until the porter has ended.
  if (polled) napi_add_env_cleanup_hook(env, end, one);
  if (polled && napi_create_external(env, one, collected, NULL, &handle) == napi_ok) return handle;
  if (entered) end(one);
  else {
    close(fd);
    napi_release_threadsafe_function(one->told, napi_tsfn_abort);
  }
  let_go(one);
  return bridge_throw(env, EMFILE, "one more porter");
}

// Adds it, wakes a thread for the first, and answers with what is left in all.
static napi_value give(napi_env env, porter *one, load *job, bool sends) {
  pthread_mutex_lock(&one->lock);
  bool taken = !one->closing && one->error == 0 && (one->first == NULL || (sends && one->sends));
  if (taken) {
    one->sends = sends;
    if (one->first == NULL) one->first = job;
    else one->last->next = job;
    one->last = job;
    one->left += job->length - job->at + job->head_length;
    if (one->first == job) {
      one->told_at = now_ms();
      await(one);
    }
  }
  double left = (double)one->left;
  int error = one->error;
  pthread_mutex_unlock(&one->lock);
  if (taken) return bridge_of_number(env, left);
  drop(env, job);
  return bridge_throw(env, error != 0 ? error : EPIPE, "work for a porter that has ended, or has other work");
}

static napi_value receive(napi_env env, napi_callback_info info) {
  napi_value args[5];
  bridge_args(env, info, 5, args);
  porter *one = porter_of(env, args[0]);
  double offset = bridge_number(env, args[2]), length = bridge_number(env, args[3]), have = bridge_number(env, args[4]);
  void *bytes;
  size_t size;
  bool fits = napi_get_arraybuffer_info(env, args[1], &bytes, &size) == napi_ok && offset >= 0 && have >= 0 && length > have && offset + length <= (double)size;
  if (one == NULL || !fits) return bridge_throw(env, EINVAL, "receiving beyond a buffer");
  load *job = calloc(1, sizeof *job);
  if (job == NULL) return bridge_throw(env, ENOMEM, "malloc");
  job->bytes = (char *)bytes + (size_t)offset;
  job->length = (size_t)length;
  job->at = (size_t)have;
  napi_create_reference(env, args[1], 1, &job->holder);
  uint32_t sum = crc_of(0, job->bytes, job->at);
  pthread_mutex_lock(&one->lock);
  if (one->first == NULL) one->sum = sum;
  pthread_mutex_unlock(&one->lock);
  return give(env, one, job, false);
}

static napi_value send_load(napi_env env, napi_callback_info info) {
  napi_value args[4];
  bridge_args(env, info, 4, args);
  porter *one = porter_of(env, args[0]);
  void *head, *bytes = NULL;
  size_t head_room, size = 0;
  double length = bridge_number(env, args[2]);
  napi_valuetype type = napi_undefined;
  bool fits = napi_get_buffer_info(env, args[1], &head, &head_room) == napi_ok && length >= 0 && length <= (double)head_room;
  napi_typeof(env, args[3], &type);
  if (type != napi_undefined) fits = fits && napi_get_buffer_info(env, args[3], &bytes, &size) == napi_ok;
  if (one == NULL || !fits || length + (double)size == 0) return bridge_throw(env, EINVAL, "sending beyond a buffer");
  load *job = calloc(1, sizeof *job);
  if (job != NULL && length > 0) job->head = malloc((size_t)length);
  if (job == NULL || (length > 0 && job->head == NULL)) {
    free(job);
    return bridge_throw(env, ENOMEM, "malloc");
  }
  if (length > 0) memcpy(job->head, head, (size_t)length);
  job->head_length = (size_t)length;
  job->bytes = bytes;
  job->length = size;
  if (size > 0) napi_create_reference(env, args[3], 1, &job->holder);
  return give(env, one, job, true);
}

static napi_value close_porter(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  porter *one = porter_of(env, args[0]);
  if (one == NULL) return bridge_throw(env, EINVAL, "a porter");
  end(one);
  return NULL;
}

void porter_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "openPorter", open_porter);
  EXPORT(env, exports, "porterReceive", receive);
  EXPORT(env, exports, "porterSend", send_load);
  EXPORT(env, exports, "porterClose", close_porter);
}
