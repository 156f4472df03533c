// Shared by the files of the addon: argument helpers and the functions each file adds to the exports.
//
// Rules of the bridge are in ../RULES.md: numbers are doubles, sizes are bytes, a failing system call throws an Error whose `code` is
// the errno's name and whose message names the call.
#pragma once

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(env, exports, name, fn)                                              \
  do {                                                                              \
    napi_value value;                                                               \
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, fn, NULL, &value) != napi_ok) return; \
    napi_set_named_property(env, exports, name, value);                             \
  } while (0)

// Reads `count` arguments; a call with fewer is a mistake of native/index.ts and gets undefined for the rest.
void bridge_args(napi_env env, napi_callback_info info, size_t count, napi_value *args);
double bridge_number(napi_env env, napi_value value);
bool bridge_bool(napi_env env, napi_value value);
// Copies a string into `target` (with its end); false when it does not fit.
bool bridge_text(napi_env env, napi_value value, char *target, size_t size);
napi_value bridge_of_number(napi_env env, double number);
// An Error with the errno's name as its code.
napi_value bridge_error(napi_env env, int error, const char *call);
// Throws; returns NULL so that callers can `return bridge_throw(…)`.
napi_value bridge_throw(napi_env env, int error, const char *call);

void memory_exports(napi_env env, napi_value exports);
void copy_exports(napi_env env, napi_value exports);
void lifeline_exports(napi_env env, napi_value exports);
void heartbeat_exports(napi_env env, napi_value exports);
void process_exports(napi_env env, napi_value exports);
void interrupt_exports(napi_env env, napi_value exports);
void outbox_exports(napi_env env, napi_value exports);
void crc_exports(napi_env env, napi_value exports);
void porter_exports(napi_env env, napi_value exports);
