/* A disk that fails under chosen files: whatever reads a file whose path contains $EIO_IN gets EIO. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int failing(int fd)
{
    const char *marked = getenv("EIO_IN");
    char link[64], path[4096];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (marked == NULL || length < 0)
        return 0;
    path[length] = '\0';
    return strstr(path, marked) != NULL;
}

#define FAILING(type, name, params, args, fd)                          \
    type name params                                                   \
    {                                                                  \
        static type(*real) params;                                     \
        if (real == NULL)                                              \
            real = (type(*) params)dlsym(RTLD_NEXT, #name);            \
        if (failing(fd)) {                                             \
            errno = EIO;                                               \
            return -1;                                                 \
        }                                                              \
        return real args;                                              \
    }

FAILING(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size), fd)
FAILING(ssize_t, pread, (int fd, void *buffer, size_t size, off_t at), (fd, buffer, size, at), fd)
FAILING(ssize_t, pread64, (int fd, void *buffer, size_t size, off64_t at), (fd, buffer, size, at), fd)
FAILING(ssize_t, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count), fd)
FAILING(ssize_t, preadv, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at), fd)
FAILING(ssize_t, preadv64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at), fd)
FAILING(ssize_t, copy_file_range, (int fd, off64_t *from, int to, off64_t *at, size_t size, unsigned flags),
        (fd, from, to, at, size, flags), fd)
FAILING(ssize_t, sendfile64, (int to, int fd, off64_t *at, size_t size), (to, fd, at, size), fd)
FAILING(ssize_t, sendfile, (int to, int fd, off_t *at, size_t size), (to, fd, at, size), fd)
