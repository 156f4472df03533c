// What Node does not tell about processes: who is at the other end of a Unix socket, and adopting orphans.

#include "bridge.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>

// peerCredentials(fd) -> [pid, uid, gid]
static napi_value peer_credentials(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bridge_args(env, info, 1, args);
  struct ucred who;
  socklen_t size = sizeof who;
  if (getsockopt((int)bridge_number(env, args[0]), SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
    return bridge_throw(env, errno, "getsockopt(SO_PEERCRED)");
  }
  napi_value list = NULL;
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

void process_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "peerCredentials", peer_credentials);
  EXPORT(env, exports, "setSubreaper", set_subreaper);
}
