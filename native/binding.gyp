{
  "targets": [
    {
      "target_name": "troupe_native",
      "sources": [
        "src/addon.c", "src/memory.c", "src/copy.c", "src/lifeline.c", "src/heartbeat.c", "src/outbox.c", "src/process.c",
        "src/interrupt.c", "src/crc.c", "src/porter.c"
      ],
      "defines": ["NAPI_VERSION=9", "_GNU_SOURCE"],
      "cflags": ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-fvisibility=hidden"],
      "libraries": ["-lpthread"]
    }
  ]
}
