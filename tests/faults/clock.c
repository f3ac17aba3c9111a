/* Preloaded: the clock on the wall, as far from the true one as the eight octets of the file CLOCK_FILE say, in seconds.
   The other clocks (monotonic, since start) go on undisturbed, as they do when an administrator sets the time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *offset;
static int (*get)(clockid_t, struct timespec *);
static int (*wait_until)(sem_t *, const struct timespec *);

static long long wrong(void) {
    if (!get) {
        get = dlsym(RTLD_NEXT, "clock_gettime");
        wait_until = dlsym(RTLD_NEXT, "sem_timedwait");
        const char *path = getenv("CLOCK_FILE");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *there = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
        if (there != MAP_FAILED) offset = there;
        if (fd >= 0) close(fd);
    }
    return offset ? *offset : 0;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    long long by = wrong();
    int result = get(which, now);
    if (!result && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += by;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}

time_t time(time_t *there) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (there) *there = now.tv_sec;
    return now.tv_sec;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) { /* the kernel knows the true time */
    struct timespec truly = *until;
    truly.tv_sec -= wrong();
    return wait_until(semaphore, &truly);
}
