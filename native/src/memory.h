// Mappings, for the files of the addon that work on their ranges off the loop.
#pragma once

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
  void *base;
  size_t length;
  // The handle and the views that exist; 1 for a mapping that is one ArrayBuffer.
  int holders;
} mapping;

// NULL and errno when it can't be mapped. A shared one is freed by its only holder.
mapping *memory_map(const char *path, double offset, double length, bool shared);

// Start of a range of a mapping, whose handle is an External; NULL when it is not inside.
char *memory_range(napi_env env, napi_value handle, napi_value offset, napi_value length, mapping **holder);
