// CRC-32 as zlib computes it.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Of what `sum` is the sum of (0: nothing), followed by these bytes.
uint32_t crc_of(uint32_t sum, const void *bytes, size_t length);
