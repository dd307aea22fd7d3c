/* Tells what a program does to the files of one folder, in order, so that a test knows what a power cut may lose.

   Loaded by LD_PRELOAD into any number of processes. MATCH_DISK_FOLDER is the folder, MATCH_DISK_LOG the file
   that all append to; one write(2) on an O_APPEND file is one record, so their order is that of the log. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
    char kind; /* C created, W written, T truncated, S sync begun, s sync ended, U unlinked, R renamed */
    char pad[3];
    uint32_t thread;
    uint64_t inode, offset, length;
    uint32_t names; /* bytes of names, then come `length` bytes of data for W */
    uint32_t pad2;
};

static const char *folder;
static int out = -1;

__attribute__((constructor)) static void begin(void) {
    folder = getenv("MATCH_DISK_FOLDER");
    const char *log = getenv("MATCH_DISK_LOG");
    if (folder && log) out = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void tell(char kind, ino_t inode, off_t offset, const void *data, size_t length, const char *names) {
    int kept = errno;
    struct head head = {kind, {0}, (uint32_t)syscall(SYS_gettid), inode, offset, length, strlen(names), 0};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)names, head.names}, {(void *)data, data ? length : 0}};
    if (syscall(SYS_writev, out, parts, 3) < 0) abort();
    errno = kept;
}

static const char *inside(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return out >= 0 && strncmp(path, folder, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

/* Whether the descriptor is of a file in the folder, or the folder itself. */
static int ours(int fd, ino_t *inode) {
    char link[64], path[4096];
    struct stat seen;
    int kept = errno, found = 0;
    if (out >= 0 && fd != out) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            if ((inside(path) || strcmp(path, folder) == 0) && fstat(fd, &seen) == 0) {
                *inode = seen.st_ino;
                found = 1;
            }
        }
    }
    errno = kept;
    return found;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, const char *path, int flags) {
    ino_t inode;
    if (fd >= 0 && (flags & O_CREAT) && inside(path) && ours(fd, &inode)) tell('C', inode, 0, NULL, 0, inside(path));
    return fd;
}

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;         \
        va_end(more);                                                     \
        return opened(REAL(name)(path, flags, mode), path, flags);        \
    }
OPEN(open)
OPEN(open64)

#define PWRITE(name)                                                      \
    ssize_t name(int fd, const void *data, size_t length, off_t offset) { \
        ino_t inode;                                                      \
        ssize_t done = REAL(name)(fd, data, length, offset);              \
        if (done > 0 && ours(fd, &inode)) tell('W', inode, offset, data, done, ""); \
        return done;                                                      \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t length) {
    ino_t inode;
    ssize_t done = REAL(write)(fd, data, length);
    if (done > 0 && ours(fd, &inode)) tell('W', inode, lseek(fd, 0, SEEK_CUR) - done, data, done, "");
    return done;
}

#define TRUNCATE(name)                                                    \
    int name(int fd, off_t length) {                                      \
        ino_t inode;                                                      \
        int done = REAL(name)(fd, length);                                \
        if (done == 0 && ours(fd, &inode)) tell('T', inode, length, NULL, 0, ""); \
        return done;                                                      \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

/* What was written while a sync runs it may miss, so its beginning is told as well. */
#define SYNC(name)                                                        \
    int name(int fd) {                                                    \
        ino_t inode;                                                      \
        int seen = ours(fd, &inode);                                      \
        if (seen) tell('S', inode, 0, NULL, 0, "");                       \
        int done = REAL(name)(fd);                                        \
        if (seen && done == 0) tell('s', inode, 0, NULL, 0, "");          \
        return done;                                                      \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    int done = REAL(unlink)(path);
    if (done == 0 && inside(path)) tell('U', 0, 0, NULL, 0, inside(path));
    return done;
}

int rename(const char *from, const char *to) {
    char names[8192];
    int done = REAL(rename)(from, to);
    if (done == 0 && inside(from) && inside(to)) {
        snprintf(names, sizeof names, "%s/%s", inside(from), inside(to));
        tell('R', 0, 0, NULL, 0, names);
    }
    return done;
}
