/* Programs that see another time of day: see wall_clock.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static time_t behind_s;

__attribute__((constructor)) static void begin(void) {
  real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *text = getenv("WALL_CLOCK_BEHIND_S");
  behind_s = text ? atoll(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *at) {
  if (!real) begin(); /* another library's constructor asks before ours has run */
  int result = real(id, at);
  if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    at->tv_sec -= behind_s;
  return result;
}

time_t time(time_t *out) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (out) *out = at.tv_sec;
  return at.tv_sec;
}

int gettimeofday(struct timeval *out, void *zone) {
  struct timespec at;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &at);
  out->tv_sec = at.tv_sec;
  out->tv_usec = at.tv_nsec / 1000;
  return 0;
}
