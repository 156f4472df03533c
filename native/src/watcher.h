// The native thread, for the files that want something done while the loop is blocked.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Starts the thread unless it runs; false when it can't.
bool watcher_start(void);

int32_t heartbeat_now(void);
// Called by the thread every half second.
void heartbeat_beat(void);
