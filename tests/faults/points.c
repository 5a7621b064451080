/* Counts the calls by which a process changes files below a folder, and makes one of them go wrong.
   LD_PRELOAD; fault_arm() begins. Of a path or of what was opened for writing; what libc calls within itself (fopen) is
   not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, FULL, READONLY, KILL, INTERRUPT, TERMINATE, GONE };
enum { OPEN, WRITE, SYNC, RENAME, REMOVE, MKDIR, CUT };

static char root[PATH_MAX];
static int kind, armed, broken;
static pid_t owner;
static long place, count;
static unsigned char ours[65536]; /* handles that were opened for writing below root */
static int log_fd = -1;

void fault_arm(const char *folder, int what, long at, int log) {
    snprintf(root, sizeof root, "%s", folder);
    kind = what, place = at, log_fd = log, owner = getpid(), armed = 1;
}

void fault_off(void) { armed = 0; }
long fault_count(void) { return count; }

static int below(const char *path) {
    char whole[2 * PATH_MAX];
    if (!armed || getpid() != owner || !path) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

static int mine(int fd) { return armed && getpid() == owner && fd >= 0 && fd < 65536 && ours[fd]; }

static void of_handle(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
}

/* Whether the call is to fail; errno is set then. */
static int fails(int what, const char *path) {
    static const char *names[] = {"open", "write", "sync", "rename", "remove", "mkdir", "cut"};
    long now = count++;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld %s %s\n", now, names[what], path);
        int was = armed;
        armed = 0;
        if (write(log_fd, line, n) < 0) abort();
        armed = was;
    }
    if (now == place) {
        broken = 1;
        if (kind == KILL) raise(SIGKILL);
        if (kind == INTERRUPT) raise(SIGINT);
        if (kind == TERMINATE) raise(SIGTERM);
        if (kind == GONE && what != REMOVE) {
            armed = 0;
            unlink(path);
            armed = 1;
        }
    }
    if (!broken) return 0;
    if (kind == FULL && what != REMOVE && what != CUT) { errno = ENOSPC; return 1; }
    if (kind == READONLY && (what == OPEN || what == RENAME || what == REMOVE || what == MKDIR)) { errno = EROFS; return 1; }
    return 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int opened(int fd, const char *path, int flags) {
    if (fd >= 0 && fd < 65536) ours[fd] = (flags & O_ACCMODE) != O_RDONLY && below(path);
    return fd;
}

static int opens(const char *path, int flags) {
    int changes = flags & (O_CREAT | O_TRUNC) || (flags & O_ACCMODE) != O_RDONLY;
    return changes && below(path) && fails(OPEN, path);
}

#define OPENER(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        REAL(int, #name, const char *, int, ...); \
        if (opens(path, flags)) return -1; \
        return opened(real(path, flags, mode), path, flags); \
    }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        REAL(int, #name, int, const char *, int, ...); \
        if (at == AT_FDCWD && opens(path, flags)) return -1; \
        int fd = real(at, path, flags, mode); \
        return at == AT_FDCWD ? opened(fd, path, flags) : fd; \
    }
OPENER_AT(openat)
OPENER_AT(openat64)

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < 65536) ours[fd] = 0;
    return real(fd);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!mine(fd)) return real(fd, data, size);
    char path[PATH_MAX];
    of_handle(fd, path);
    if ((kind == FULL || kind == KILL) && count == place && size > 1) {
        if (real(fd, data, size / 2) < 0) return -1; /* half of it is there */
        if (kind == KILL) fails(WRITE, path);
        count++, broken = 1;
        return size / 2;
    }
    return fails(WRITE, path) ? -1 : real(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    if (mine(fd) && (of_handle(fd, path), fails(WRITE, path))) return -1;
    return real(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    char path[PATH_MAX];
    if (mine(fd) && (of_handle(fd, path), fails(WRITE, path))) return -1;
    return real(fd, parts, number);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[PATH_MAX];
    if (mine(out) && (of_handle(out, path), fails(WRITE, path))) return -1;
    return real(in, from, out, to, size, flags);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    char path[PATH_MAX];
    if (mine(out) && (of_handle(out, path), fails(WRITE, path))) return -1;
    return real(out, in, at, size);
}

ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    REAL(ssize_t, "sendfile", int, int, off_t *, size_t);
    char path[PATH_MAX];
    if (mine(out) && (of_handle(out, path), fails(WRITE, path))) return -1;
    return real(out, in, at, size);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    char path[PATH_MAX];
    if (mine(fd) && (of_handle(fd, path), fails(SYNC, path))) return -1;
    return real(fd);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (below(to) && fails(RENAME, from)) return -1;
    return real(from, to);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (below(path) && fails(REMOVE, path)) return -1;
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    if (below(path) && fails(MKDIR, path)) return -1;
    return real(path, mode);
}

int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    if (below(path) && fails(REMOVE, path)) return -1;
    return real(path);
}

int truncate64(const char *path, off64_t size) {
    REAL(int, "truncate64", const char *, off64_t);
    if (below(path) && fails(CUT, path)) return -1;
    return real(path, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    char path[PATH_MAX];
    if (mine(fd) && (of_handle(fd, path), fails(CUT, path))) return -1;
    return real(fd, size);
}
