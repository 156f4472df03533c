// What Node does not tell about processes: who is at the other end of a Unix socket, and adopting orphans.

#include "bridge.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

// peerCredentials(fd) -> [pid, uid, gid]
static napi_value peer_credentials(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  struct ucred who;
  socklen_t size = sizeof who;
  if (getsockopt((int)bridge_number(env, args[0]), SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
    return bridge_throw(env, errno, "getsockopt(SO_PEERCRED)");
  }
  napi_value list;
  napi_create_array_with_length(env, 3, &list);
  napi_set_element(env, list, 0, bridge_of_number(env, who.pid));
  napi_set_element(env, list, 1, bridge_of_number(env, who.uid));
  napi_set_element(env, list, 2, bridge_of_number(env, who.gid));
  return list;
}

// setSubreaper(): orphans of this process's descendants become its children.
static napi_value set_subreaper(napi_env env, napi_callback_info info) {
  (void)info;
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return bridge_throw(env, errno, "prctl(PR_SET_CHILD_SUBREAPER)");
  return NULL;
}

// monotonicMs() -> what heartbeats are compared with
static napi_value monotonic_ms(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  return bridge_of_number(env, (double)(ms & 0x7fffffff));
}

void process_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "peerCredentials", peer_credentials);
  EXPORT(env, exports, "setSubreaper", set_subreaper);
  EXPORT(env, exports, "monotonicMs", monotonic_ms);
}
