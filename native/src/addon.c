// The addon's entry: collects the exports of its parts. No logic here.

#include "bridge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void bridge_args(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  napi_get_cb_info(env, info, &count, args, NULL, NULL);
}

double bridge_number(napi_env env, napi_value value) {
  double number = 0;
  napi_get_value_double(env, value, &number);
  return number;
}

bool bridge_bool(napi_env env, napi_value value) {
  bool flag = false;
  napi_get_value_bool(env, value, &flag);
  return flag;
}

bool bridge_text(napi_env env, napi_value value, char *target, size_t size) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, target, size, &length) != napi_ok) return false;
  return length + 1 < size;
}

napi_value bridge_of_number(napi_env env, double number) {
  napi_value value = NULL;
  napi_create_double(env, number, &value);
  return value;
}

static const char *error_name(int error) {
  switch (error) {
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case EACCES: return "EACCES";
    case EPERM: return "EPERM";
    case ENOENT: return "ENOENT";
    case EINVAL: return "EINVAL";
    case EAGAIN: return "EAGAIN";
    case EPIPE: return "EPIPE";
    case EBADF: return "EBADF";
    case ECONNRESET: return "ECONNRESET";
    case ECANCELED: return "ECANCELED";
    default: return "EIO";
  }
}

napi_value bridge_error(napi_env env, int error, const char *call) {
  char text[256], reason[128];
  // The GNU variant: it may answer with a text of its own.
  snprintf(text, sizeof text, "%s failed: %s", call, strerror_r(error, reason, sizeof reason));
  napi_value code = NULL, message = NULL, value = NULL;
  napi_create_string_utf8(env, error_name(error), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, code, message, &value);
  return value;
}

napi_value bridge_throw(napi_env env, int error, const char *call) {
  napi_value value = bridge_error(env, error, call);
  if (value != NULL) napi_throw(env, value);
  return NULL;
}

// Raised with every change of what an export takes or gives: native/index.ts takes no other.
#define REVISION 1

NAPI_MODULE_INIT() {
  napi_value revision = NULL;
  napi_create_uint32(env, REVISION, &revision);
  napi_set_named_property(env, exports, "revision", revision);
  memory_exports(env, exports);
  copy_exports(env, exports);
  lifeline_exports(env, exports);
  heartbeat_exports(env, exports);
  process_exports(env, exports);
  interrupt_exports(env, exports);
  outbox_exports(env, exports);
  crc_exports(env, exports);
  porter_exports(env, exports);
  return exports;
}
