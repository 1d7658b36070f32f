/*
 * Count what one process changes, kill it before the n-th change, and write down what a power cut would take back.
 *
 * Preloaded (LD_PRELOAD) and asleep until `sweep_arm` is called in the process that is meant; a child it forks is not meant.
 * A change is a call of the C library that alters a file or a name below one of the chosen folders, or sends something over
 * TCP. Each is written to the list of points ("number name path") before it is done; before the chosen one the process kills
 * itself. With `torn`, a chosen write to a file is first done by half. One thread at a time: nothing here is locked.
 *
 * With a `grave` folder, whatever is not yet flushed can be taken back afterwards (tests/crash/power.py does it): a file's
 * content as of its last flush is kept as <grave>/data.<inode> until the next flush, what is unlinked or replaced stays linked
 * as <grave>/name.<number>, and every change of a name and every flush is a line of <grave>/log, its fields tab-separated.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FOLDERS 8
#define PATH_ROOM (PATH_MAX * 2)

static char folders[MOST_FOLDERS][PATH_MAX];
static char grave[PATH_MAX];
static pid_t meant;
static long count, die_at;
static int torn, points_fd = -1, log_fd = -1;

#define REAL(result, name, ...)                                                                                                \
    static result (*real_##name)(__VA_ARGS__);                                                                                 \
    result name(__VA_ARGS__)

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "shim: no %s in the C library\n", name);
        abort();
    }
    return found;
}
#define RESOLVE(name)                                                                                                          \
    do {                                                                                                                       \
        if (!real_##name)                                                                                                      \
            real_##name = real(#name);                                                                                         \
    } while (0)

static void put(int fd, const char *format, ...)
{
    char line[PATH_ROOM * 2 + 128];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (syscall(SYS_write, fd, line, (size_t)length) != length)
        abort();
}

void sweep_arm(long when, int half, const char *points, const char *below, const char *grave_folder)
{
    char all[PATH_ROOM];
    snprintf(all, sizeof all, "%s", below);
    char *rest = all;
    for (int i = 0; i < MOST_FOLDERS && rest; i++)
        snprintf(folders[i], PATH_MAX, "%s", strsep(&rest, ":"));
    snprintf(grave, sizeof grave, "%s", grave_folder);
    die_at = when;
    torn = half;
    points_fd = syscall(SYS_openat, AT_FDCWD, points, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (grave[0]) {
        char log[PATH_ROOM];
        snprintf(log, sizeof log, "%s/log", grave);
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (points_fd < 0 || (grave[0] && log_fd < 0))
        abort();
    meant = getpid();
}

long sweep_counted(void) { return count; }

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static int armed(void) { return meant != 0 && meant == getpid(); }

static int inside(const char *path)
{
    for (int i = 0; i < MOST_FOLDERS && folders[i][0]; i++) {
        size_t length = strlen(folders[i]);
        if (strncmp(path, folders[i], length) == 0 && (path[length] == '/' || path[length] == 0))
            return 1;
    }
    return 0;
}

static int path_of_fd(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static int path_at(int dirfd, const char *name, char *path)
{
    char folder[PATH_MAX];
    if (name[0] == '/') {
        snprintf(path, PATH_ROOM, "%s", name);
        return 1;
    }
    if (dirfd == AT_FDCWD) {
        if (syscall(SYS_getcwd, folder, sizeof folder) < 0)
            return 0;
    } else if (!path_of_fd(dirfd, folder))
        return 0;
    snprintf(path, PATH_ROOM, "%s/%s", folder, name);
    return 1;
}

/* A change is about to happen. Returns 1 where it is to be torn: done by half, then death. */
static int point(const char *name, const char *path)
{
    int saved = errno;
    put(points_fd, "%ld %s %s\n", ++count, name, path);
    errno = saved;
    if (count != die_at)
        return 0;
    if (torn)
        return 1;
    die();
    return 0;
}

static void point_or_die(const char *name, const char *path)
{
    if (point(name, path))
        die();
}

/* Keep the content as of the last flush, unless it is kept already. */
static void keep(int fd)
{
    char kept[PATH_ROOM], block[65536];
    struct stat seen;
    if (log_fd < 0 || fstat(fd, &seen) || !S_ISREG(seen.st_mode))
        return;
    snprintf(kept, sizeof kept, "%s/data.%lu", grave, (unsigned long)seen.st_ino);
    int copy = syscall(SYS_openat, AT_FDCWD, kept, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (copy < 0)
        return;
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int source = syscall(SYS_openat, AT_FDCWD, self, O_RDONLY | O_CLOEXEC, 0);
    ssize_t length;
    while (source >= 0 && (length = syscall(SYS_read, source, block, sizeof block)) > 0)
        if (syscall(SYS_write, copy, block, (size_t)length) != length)
            abort();
    if (source >= 0)
        syscall(SYS_close, source);
    syscall(SYS_close, copy);
}

static void flushed(int fd, const char *path)
{
    char kept[PATH_ROOM];
    struct stat seen;
    if (log_fd < 0 || fstat(fd, &seen))
        return;
    if (S_ISDIR(seen.st_mode)) {
        put(log_fd, "flush\t%s\n", path);
        return;
    }
    snprintf(kept, sizeof kept, "%s/data.%lu", grave, (unsigned long)seen.st_ino);
    syscall(SYS_unlinkat, AT_FDCWD, kept, 0);
}

/* Everything is flushed: what was kept of contents is old. */
static void forget_contents(void)
{
    DIR *listing = opendir(grave);
    struct dirent *entry;
    while (listing && (entry = readdir(listing)))
        if (strncmp(entry->d_name, "data.", 5) == 0)
            syscall(SYS_unlinkat, dirfd(listing), entry->d_name, 0);
    if (listing)
        closedir(listing);
}

/* Keep a name that is about to be lost; the link's path, or "" where there was nothing. */
static void bury(const char *path, char *kept)
{
    struct stat seen;
    kept[0] = 0;
    if (log_fd < 0 || fstatat(AT_FDCWD, path, &seen, AT_SYMLINK_NOFOLLOW) || S_ISDIR(seen.st_mode))
        return;
    snprintf(kept, PATH_ROOM, "%s/name.%ld", grave, count);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0))
        kept[0] = 0;
}

static void noted(const char *what, const char *one, const char *two, const char *three)
{
    int saved = errno;
    if (log_fd >= 0)
        put(log_fd, "%s\t%s\t%s\t%s\n", what, one, two, three);
    errno = saved;
}

static int counts_fd(int fd, char *path) { return armed() && fd != points_fd && path_of_fd(fd, path) && inside(path); }
static int counts_at(int dirfd, const char *name, char *path)
{
    return armed() && name && path_at(dirfd, name, path) && inside(path);
}
static int counts_socket(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    if (!armed() || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size))
        return 0;
    return domain == AF_INET || domain == AF_INET6;
}

/* Contents. */

REAL(ssize_t, write, int fd, const void *data, size_t size)
{
    char path[PATH_ROOM];
    RESOLVE(write);
    if (counts_fd(fd, path)) {
        int half = point("write", path);
        keep(fd);
        if (half) {
            real_write(fd, data, size / 2);
            die();
        }
    }
    return real_write(fd, data, size);
}

#define PWRITE(name, offset_type)                                                                                              \
    REAL(ssize_t, name, int fd, const void *data, size_t size, offset_type offset)                                             \
    {                                                                                                                          \
        char path[PATH_ROOM];                                                                                                  \
        RESOLVE(name);                                                                                                         \
        if (counts_fd(fd, path)) {                                                                                             \
            int half = point("pwrite", path);                                                                                  \
            keep(fd);                                                                                                          \
            if (half) {                                                                                                        \
                real_##name(fd, data, size / 2, offset);                                                                       \
                die();                                                                                                         \
            }                                                                                                                  \
        }                                                                                                                      \
        return real_##name(fd, data, size, offset);                                                                            \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define CHANGE_FD(result, name, declared, passed)                                                                              \
    REAL(result, name, declared)                                                                                               \
    {                                                                                                                          \
        char path[PATH_ROOM];                                                                                                  \
        RESOLVE(name);                                                                                                         \
        if (counts_fd(fd, path)) {                                                                                             \
            point_or_die(#name, path);                                                                                         \
            keep(fd);                                                                                                          \
        }                                                                                                                      \
        return real_##name(passed);                                                                                            \
    }
#define _(...) __VA_ARGS__
CHANGE_FD(ssize_t, pwritev, _(int fd, const struct iovec *vector, int length, off_t offset), _(fd, vector, length, offset))
CHANGE_FD(ssize_t, pwritev64, _(int fd, const struct iovec *vector, int length, off64_t offset), _(fd, vector, length, offset))
CHANGE_FD(int, ftruncate, _(int fd, off_t size), _(fd, size))
CHANGE_FD(int, ftruncate64, _(int fd, off64_t size), _(fd, size))
CHANGE_FD(int, fallocate, _(int fd, int mode, off_t offset, off_t size), _(fd, mode, offset, size))
CHANGE_FD(int, posix_fallocate, _(int fd, off_t offset, off_t size), _(fd, offset, size))
CHANGE_FD(int, posix_fallocate64, _(int fd, off64_t offset, off64_t size), _(fd, offset, size))

REAL(ssize_t, writev, int fd, const struct iovec *vector, int length)
{
    char path[PATH_ROOM];
    RESOLVE(writev);
    if (counts_fd(fd, path)) {
        point_or_die("writev", path);
        keep(fd);
    } else if (counts_socket(fd))
        point_or_die("writev", "tcp");
    return real_writev(fd, vector, length);
}

REAL(ssize_t, sendfile, int fd, int in, off_t *offset, size_t size)
{
    char path[PATH_ROOM];
    RESOLVE(sendfile);
    if (counts_fd(fd, path)) {
        point_or_die("sendfile", path);
        keep(fd);
    } else if (counts_socket(fd))
        point_or_die("sendfile", "tcp");
    return real_sendfile(fd, in, offset, size);
}

/* What only attributes say: a point, but nothing a power cut may spoil. */
#define ATTRIBUTE_FD(name, declared, passed)                                                                                   \
    REAL(int, name, declared)                                                                                                  \
    {                                                                                                                          \
        char path[PATH_ROOM];                                                                                                  \
        RESOLVE(name);                                                                                                         \
        if (counts_fd(fd, path))                                                                                               \
            point_or_die(#name, path);                                                                                         \
        return real_##name(passed);                                                                                            \
    }
ATTRIBUTE_FD(fchmod, _(int fd, mode_t mode), _(fd, mode))
ATTRIBUTE_FD(futimens, _(int fd, const struct timespec times[2]), _(fd, times))

/* Flushes. */

#define FLUSH(name)                                                                                                            \
    REAL(int, name, int fd)                                                                                                    \
    {                                                                                                                          \
        char path[PATH_ROOM];                                                                                                  \
        RESOLVE(name);                                                                                                         \
        if (!counts_fd(fd, path))                                                                                              \
            return real_##name(fd);                                                                                            \
        point_or_die(#name, path);                                                                                             \
        int done = real_##name(fd);                                                                                            \
        int saved = errno;                                                                                                     \
        if (done == 0)                                                                                                         \
            flushed(fd, path);                                                                                                 \
        errno = saved;                                                                                                         \
        return done;                                                                                                           \
    }
FLUSH(fsync)
FLUSH(fdatasync)

REAL(int, syncfs, int fd)
{
    char path[PATH_ROOM];
    RESOLVE(syncfs);
    if (!counts_fd(fd, path))
        return real_syncfs(fd);
    point_or_die("syncfs", path);
    int done = real_syncfs(fd);
    if (done == 0 && log_fd >= 0) {
        put(log_fd, "syncfs\t%ld\n", count);
        forget_contents();
    }
    return done;
}

/* Names. */

static int renamed(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    char one[PATH_ROOM], two[PATH_ROOM], kept[PATH_ROOM];
    int counted = counts_at(from_fd, from, one);
    counted |= counts_at(to_fd, to, two);
    kept[0] = 0;
    if (counted) {
        point_or_die("rename", one);
        if (!(flags & 1u)) /* RENAME_NOREPLACE */
            bury(two, kept);
    }
    int done = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (counted && done == 0)
        noted("rename", one, two, kept);
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_fd, const char *from, int to_fd, const char *to) { return renamed(from_fd, from, to_fd, to, 0); }
int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return renamed(from_fd, from, to_fd, to, flags);
}

static int unlinked(int dirfd, const char *name, int flags)
{
    char path[PATH_ROOM], kept[PATH_ROOM];
    int counted = counts_at(dirfd, name, path);
    kept[0] = 0;
    if (counted) {
        point_or_die(flags & AT_REMOVEDIR ? "rmdir" : "unlink", path);
        bury(path, kept);
    }
    int done = (int)syscall(SYS_unlinkat, dirfd, name, flags);
    if (counted && done == 0)
        noted(flags & AT_REMOVEDIR ? "rmdir" : "unlink", path, kept, "");
    return done;
}
int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int unlinkat(int dirfd, const char *name, int flags) { return unlinked(dirfd, name, flags); }
int rmdir(const char *name) { return unlinked(AT_FDCWD, name, AT_REMOVEDIR); }

static int linked(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char one[PATH_ROOM];
    int counted = counts_at(to_fd, to, one);
    if (counted)
        point_or_die("link", one);
    int done = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (counted && done == 0)
        noted("create", one, "", "");
    return done;
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return linked(from_fd, from, to_fd, to, flags);
}

static int made(int dirfd, const char *name, mode_t mode)
{
    char path[PATH_ROOM];
    int counted = counts_at(dirfd, name, path);
    if (counted)
        point_or_die("mkdir", path);
    int done = (int)syscall(SYS_mkdirat, dirfd, name, mode);
    if (counted && done == 0)
        noted("mkdir", path, "", "");
    return done;
}
int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int dirfd, const char *name, mode_t mode) { return made(dirfd, name, mode); }

static int opened(int dirfd, const char *name, int flags, mode_t mode)
{
    char path[PATH_ROOM];
    struct stat seen;
    int counted = 0, fresh = 0;
    if ((flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE && counts_at(dirfd, name, path)) {
        fresh = fstatat(dirfd, name, &seen, AT_SYMLINK_NOFOLLOW) != 0;
        counted = fresh || ((flags & O_TRUNC) && seen.st_size > 0);
    }
    if (counted) {
        point_or_die("open", path);
        if (!fresh) {
            int before = (int)syscall(SYS_openat, dirfd, name, O_RDONLY | O_CLOEXEC, 0);
            if (before >= 0) {
                keep(before);
                syscall(SYS_close, before);
            }
        }
    }
    int fd = (int)syscall(SYS_openat, dirfd, name, flags, mode);
    if (counted && fresh && fd >= 0)
        noted("create", path, "", "");
    return fd;
}
#define MODE                                                                                                                   \
    mode_t mode = 0;                                                                                                           \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                                       \
        va_list values;                                                                                                        \
        va_start(values, flags);                                                                                               \
        mode = va_arg(values, mode_t);                                                                                         \
        va_end(values);                                                                                                        \
    }
int open(const char *name, int flags, ...) { MODE return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return opened(AT_FDCWD, name, flags, mode); }
int openat(int dirfd, const char *name, int flags, ...) { MODE return opened(dirfd, name, flags, mode); }
int openat64(int dirfd, const char *name, int flags, ...) { MODE return opened(dirfd, name, flags, mode); }

/* The network. */

REAL(int, connect, int fd, const struct sockaddr *address, socklen_t size)
{
    RESOLVE(connect);
    if (counts_socket(fd))
        point_or_die("connect", "tcp");
    return real_connect(fd, address, size);
}

#define SEND(name, declared, passed)                                                                                           \
    REAL(ssize_t, name, declared)                                                                                              \
    {                                                                                                                          \
        RESOLVE(name);                                                                                                         \
        if (counts_socket(fd))                                                                                                 \
            point_or_die(#name, "tcp");                                                                                        \
        return real_##name(passed);                                                                                            \
    }
SEND(send, _(int fd, const void *data, size_t size, int flags), _(fd, data, size, flags))
SEND(sendto, _(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length),
     _(fd, data, size, flags, to, length))
SEND(sendmsg, _(int fd, const struct msghdr *message, int flags), _(fd, message, flags))
