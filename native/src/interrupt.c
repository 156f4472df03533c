// Ctrl-C in a program whose loop does not turn: Node hears a signal at the next turn only. The first one is passed on to Node as
// always; when it was not seen after a second that is said, and the next one ends the process as if nobody had listened.

#include "bridge.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <pthread.h>
#include <unistd.h>

static struct sigaction node;
static atomic_int unseen;
static atomic_bool watching;
static sem_t arrived;

static void say(const char *text) {
  // Whether anybody reads it is nothing that could be mended here.
  ssize_t written = write(STDERR_FILENO, text, strlen(text));
  (void)written;
}

static void interrupted(int number, siginfo_t *info, void *context) {
  if (atomic_fetch_add(&unseen, 1) > 0) {
    signal(SIGINT, SIG_DFL);
    kill(getpid(), SIGINT);
    return;
  }
  sem_post(&arrived);
  if (node.sa_flags & SA_SIGINFO) node.sa_sigaction(number, info, context);
  else if (node.sa_handler != SIG_DFL && node.sa_handler != SIG_IGN) node.sa_handler(number);
}

static void *tell(void *unused) {
  (void)unused;
  for (;;) {
    if (sem_wait(&arrived) != 0) continue;
    const struct timespec second = {1, 0};
    nanosleep(&second, NULL);
    if (atomic_load(&unseen) > 0) say("troupe: the program computes and has not seen the interrupt yet; once more ends it at once\n");
  }
  return NULL;
}

// watchInterrupts(): call it when Node listens for SIGINT, and again when it has begun to anew.
static napi_value watch_interrupts(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  struct sigaction now;
  if (sigaction(SIGINT, NULL, &now) != 0 || ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == interrupted)) return NULL;
  if (!atomic_exchange(&watching, true)) {
    pthread_t thread;
    sigset_t all, before;
    sem_init(&arrived, 0, 0);
    // It is not to be the thread that a signal interrupts.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, tell, NULL) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  node = now;
  struct sigaction ours = {0};
  ours.sa_sigaction = interrupted;
  ours.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&ours.sa_mask);
  sigaction(SIGINT, &ours, NULL);
  return NULL;
}

// interruptSeen(): the loop has turned since.
static napi_value interrupt_seen(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  atomic_store(&unseen, 0);
  return NULL;
}

void interrupt_exports(napi_env env, napi_value exports) {
  EXPORT(env, exports, "watchInterrupts", watch_interrupts);
  EXPORT(env, exports, "interruptSeen", interrupt_seen);
}
