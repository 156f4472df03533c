// The native thread that does what must not wait for the event loop: it watches the lifeline and beats the hearts (heartbeat.c).
//
// Lifeline: an inherited pipe whose other end the parent holds. When it hangs up, the parent is gone, and this process ends with all it
// started, whatever its loop is doing: process groups are killed, files removed, its own group killed, _exit.
//
// One thread a process, started by the first use, never joined: it ends with the process. State is guarded by one mutex; nothing here
// calls into JavaScript.

#include "bridge.h"
#include "watcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX 4096
#define PATHS_MAX 8
#define PATH_BYTES 512
#define BEAT_MS 500
#define DEPTH_MAX 256

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static bool started = false;
static int lifeline_fd = -1;
static pid_t group_ids[GROUPS_MAX];
static int group_count = 0;
static char paths[PATHS_MAX][PATH_BYTES];
static int path_count = 0;

// A file, or a folder with all that is in it: what a session leaves. Links are removed, never followed.
static void remove_in(int parent, const char *name, int depth) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || depth == DEPTH_MAX) return;
  int opened = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (opened < 0) return;
  DIR *folder = fdopendir(opened);
  if (folder == NULL) {
    close(opened);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) remove_in(dirfd(folder), entry->d_name, depth + 1);
  }
  closedir(folder);
  unlinkat(parent, name, AT_REMOVEDIR);
}

// Twice again at most: this process's own threads may still write a file, and some systems skip entries while others go.
static void remove_path(const char *path) {
  for (int again = 0; again < 3; again += 1) remove_in(AT_FDCWD, path, 0);
}

static void hang_up(void) {
  pthread_mutex_lock(&guard);
  for (int index = 0; index < group_count; index += 1) kill(-group_ids[index], SIGKILL);
  for (int index = 0; index < path_count; index += 1) remove_path(paths[index]);
  if (getpgrp() == getpid()) kill(0, SIGKILL);
  _exit(1);
}

static void *run(void *nothing) {
  (void)nothing;
  for (;;) {
    pthread_mutex_lock(&guard);
    struct pollfd watched = {.fd = lifeline_fd, .events = 0};
    pthread_mutex_unlock(&guard);
    heartbeat_beat();
    int ready = poll(&watched, watched.fd >= 0 ? 1 : 0, BEAT_MS);
    if (ready > 0 && (watched.revents & (POLLHUP | POLLERR | POLLNVAL))) hang_up();
  }
  return NULL;
}

// Under the guard.
static void start_thread(void) {
  if (started) return;
  started = true;
  sigset_t all, before;
  sigfillset(&all);
  // Signals are the main thread's business.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  if (pthread_create(&thread, &attributes, run, NULL) == 0) pthread_detach(thread);
  else started = false;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool watcher_start(void) {
  pthread_mutex_lock(&guard);
  start_thread();
  bool running = started;
  pthread_mutex_unlock(&guard);
  return running;
}

// watchLifeline(fd)
static napi_value watch_lifeline(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  pthread_mutex_lock(&guard);
  lifeline_fd = (int)bridge_number(env, args[0]);
  start_thread();
  bool running = started;
  pthread_mutex_unlock(&guard);
  return running ? NULL : bridge_throw(env, EAGAIN, "pthread_create");
}

// addGroup(pid): killed with this process.
static napi_value add_group(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  pthread_mutex_lock(&guard);
  bool room = group_count < GROUPS_MAX;
  if (room) group_ids[group_count++] = (pid_t)bridge_number(env, args[0]);
  pthread_mutex_unlock(&guard);
  return room ? NULL : bridge_throw(env, ENOSPC, "one more child process");
}

static napi_value remove_group(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  pid_t gone = (pid_t)bridge_number(env, args[0]);
  pthread_mutex_lock(&guard);
  for (int index = 0; index < group_count; index += 1) {
    if (group_ids[index] == gone) group_ids[index--] = group_ids[--group_count];
  }
  pthread_mutex_unlock(&guard);
  return NULL;
}

// removeAtEnd(path): a file or a folder that goes when the lifeline hangs up.
static napi_value remove_at_end(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  pthread_mutex_lock(&guard);
  bool taken = path_count < PATHS_MAX && bridge_text(env, args[0], paths[path_count], PATH_BYTES);
  if (taken) path_count += 1;
  pthread_mutex_unlock(&guard);
  return taken ? NULL : bridge_throw(env, EINVAL, "one more path to remove");
}

void lifeline_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "watchLifeline", watch_lifeline);
  EXPORT(env, exports, "addGroup", add_group);
  EXPORT(env, exports, "removeGroup", remove_group);
  EXPORT(env, exports, "removeAtEnd", remove_at_end);
}
