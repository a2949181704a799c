/* Writes down what a program changes below a folder, so that a power-off can be imitated.
 *
 * Loaded by LD_PRELOAD. FIRMSHAKE_POWERCUT_FOLDER is the folder, FIRMSHAKE_POWERCUT_LOG the file of
 * records, outside of it: one for each change, in the order in which they took place, also where
 * several processes change the folder. powercut.py reads it, and powerdisk.py works out what a disk
 * may hold.
 *
 * With FIRMSHAKE_POWERCUT_AT a process kills its process group once it has made so many records.
 *
 * Each call is made as it was asked for; its record follows once it has succeeded. What is not
 * caught here (mmap, stdio, sendfile, io_uring) is not in the log, and counts as lost: that can make
 * a test fail, but none pass.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* room for the path of a folder and a name */
#define PLACE (2 * PATH_MAX)

/* as Kind in powerdisk.py */
enum kind { CREATE = 1, WRITE, LENGTH, MODE, SYNC, SYNC_FOLDER, MKDIR, LINK, RENAME, REMOVE };

struct head {
    uint32_t kind, mode;
    uint64_t inode;
    int64_t offset;
    uint32_t path, other, data; /* lengths of what follows */
} __attribute__((packed));

/* the next of that name behind this library: the C library's own */
#define REAL(name)                                                \
    ({                                                            \
        static __typeof__(&name) found;                           \
        if (!found)                                               \
            found = (__typeof__(&name))dlsym(RTLD_NEXT, #name);   \
        found;                                                    \
    })

static int journal = -1;
static long left = -1;
static const char *folder;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void give_up(const char *what) {
    fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
    abort();
}

/* Between `enter` and `leave` no other thread or process changes the folder. */
static void enter(void) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    pthread_mutex_lock(&turn);
    while (fcntl(journal, F_SETLKW, &whole))
        if (errno != EINTR)
            give_up("lock");
}

static void leave(void) {
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int kept = errno;
    fcntl(journal, F_SETLK, &whole);
    pthread_mutex_unlock(&turn);
    errno = kept;
}

static void before_fork(void) { pthread_mutex_lock(&turn); }
static void after_fork(void) { pthread_mutex_unlock(&turn); }

__attribute__((constructor)) static void start(void) {
    const char *log = getenv("FIRMSHAKE_POWERCUT_LOG");
    folder = getenv("FIRMSHAKE_POWERCUT_FOLDER");
    if (!log || !folder)
        return;
    int low = REAL(openat64)(AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    /* out of the way of programs that give their files numbers */
    folder = strdup(folder);
    if (getenv("FIRMSHAKE_POWERCUT_AT"))
        left = atol(getenv("FIRMSHAKE_POWERCUT_AT"));
    journal = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 200);
    if (journal < 0)
        give_up(log);
    REAL(close)(low);
    pthread_atfork(before_fork, after_fork, after_fork);
}

static int within(const char *path) {
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* Whether an open file is one of that type below the folder; `now` is told about it. */
static int watched(int fd, mode_t type, struct stat *now, char *path) {
    char link[64];
    int kept = errno, found = 0;
    if (journal >= 0 && !fstat(fd, now) && (now->st_mode & S_IFMT) == type) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, PATH_MAX - 1);
        path[length < 0 ? 0 : length] = 0;
        found = within(path);
    }
    errno = kept;
    return found;
}

/* Whether a name is in the folder: `out` is its absolute path, without links to folders. */
static int placed(int at, const char *path, char *out) {
    char joined[2 * PATH_MAX], base[PATH_MAX], above[PATH_MAX], link[64];
    int kept = errno, found = 0;
    if (journal < 0 || !*path)
        return 0;
    if (*path == '/' || at == AT_FDCWD) {
        snprintf(joined, sizeof joined, "%s%s", *path == '/' ? "" : "./", path);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, base, sizeof base - 1);
        base[length < 0 ? 0 : length] = 0;
        snprintf(joined, sizeof joined, "%s/%s", base, path);
    }
    for (size_t end = strlen(joined); end > 1 && joined[end - 1] == '/'; end--)
        joined[end - 1] = 0;
    char *last = strrchr(joined, '/');
    *last = 0;
    if (realpath(last == joined ? "/" : joined, above)) {
        snprintf(out, PLACE, "%s/%s", above, last + 1);
        found = within(out);
    }
    errno = kept;
    return found;
}

static void record(struct head head, const char *path, const char *other, const void *data) {
    head.path = strlen(path);
    head.other = strlen(other);
    struct iovec parts[] = {
        {&head, sizeof head},
        {(void *)path, head.path},
        {(void *)other, head.other},
        {(void *)data, head.data},
    };
    ssize_t whole = sizeof head + head.path + head.other + head.data;
    if (REAL(writev)(journal, parts, 4) != whole)
        give_up("log");
    if (left > 0 && !--left)
        kill(0, SIGKILL);
}

/* files */

static int opened(int at, const char *path, int flags, mode_t mode) {
    char place[PLACE];
    struct stat before, now;
    int nameless = (flags & O_TMPFILE) == O_TMPFILE;
    if (!(flags & (O_CREAT | O_TRUNC) || nameless) || !placed(at, path, place))
        return REAL(openat64)(at, path, flags, mode);
    enter();
    int there = !nameless && !fstatat(at, path, &before, 0);
    int fd = REAL(openat64)(at, path, flags, mode);
    if (fd >= 0 && !fstat(fd, &now)) {
        struct head head = {.kind = CREATE, .mode = now.st_mode & 07777, .inode = now.st_ino};
        if (!there)
            record(head, nameless ? "" : place, "", "");
        else if (flags & O_TRUNC)
            record((struct head){.kind = LENGTH, .inode = now.st_ino}, "", "", "");
    }
    leave();
    return fd;
}

static mode_t given(int flags, va_list list) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

#define OPEN(at)                          \
    va_list list;                         \
    va_start(list, flags);                \
    mode_t mode = given(flags, list);     \
    va_end(list);                         \
    return opened(at, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int openat(int at, const char *path, int flags, ...) { OPEN(at) }
int openat64(int at, const char *path, int flags, ...) { OPEN(at) }

/* A call that writes at `place`, or where the file stands where that is negative. */
#define WRITTEN(fd, place, call, bytes)                                             \
    char path[PATH_MAX];                                                            \
    struct stat now;                                                                \
    if (!watched(fd, S_IFREG, &now, path))                                          \
        return call;                                                                \
    enter();                                                                        \
    ssize_t done = call;                                                            \
    if (done > 0) {                                                                 \
        off64_t from = place < 0 ? lseek64(fd, 0, SEEK_CUR) - done : place;       \
        struct head head = {.kind = WRITE, .inode = now.st_ino, .offset = from};    \
        head.data = done;                                                           \
        record(head, "", "", bytes);                                                 \
    }                                                                               \
    leave();                                                                        \
    return done;

ssize_t write(int fd, const void *data, size_t size) {
    WRITTEN(fd, -1, REAL(write)(fd, data, size), data)
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    WRITTEN(fd, at, REAL(pwrite)(fd, data, size, at), data)
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    WRITTEN(fd, at, REAL(pwrite64)(fd, data, size, at), data)
}

/* A shorter write than was asked for is one too: only the first part is taken. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    struct stat now;
    if (!watched(fd, S_IFREG, &now, path))
        return REAL(writev)(fd, parts, count);
    return count ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0;
}

static int shortened(int fd, off64_t length) {
    char path[PATH_MAX];
    struct stat now;
    if (!watched(fd, S_IFREG, &now, path))
        return REAL(ftruncate64)(fd, length);
    enter();
    int failed = REAL(ftruncate64)(fd, length);
    if (!failed)
        record((struct head){.kind = LENGTH, .inode = now.st_ino, .offset = length}, "", "", "");
    leave();
    return failed;
}

int ftruncate(int fd, off_t length) { return shortened(fd, length); }
int ftruncate64(int fd, off64_t length) { return shortened(fd, length); }

static void moded(const struct stat *now, mode_t mode) {
    struct head head = {.kind = MODE, .inode = now->st_ino, .mode = mode & 07777};
    if (S_ISREG(now->st_mode))
        record(head, "", "", "");
}

int fchmod(int fd, mode_t mode) {
    char path[PATH_MAX];
    struct stat now;
    if (!watched(fd, S_IFREG, &now, path))
        return REAL(fchmod)(fd, mode);
    enter();
    int failed = REAL(fchmod)(fd, mode);
    if (!failed)
        moded(&now, mode);
    leave();
    return failed;
}

int fchmodat(int at, const char *name, mode_t mode, int flags) {
    char path[PLACE];
    struct stat now;
    if (!placed(at, name, path))
        return REAL(fchmodat)(at, name, mode, flags);
    enter();
    int failed = REAL(fchmodat)(at, name, mode, flags);
    if (!failed && !stat(path, &now))
        moded(&now, mode);
    leave();
    return failed;
}

int chmod(const char *name, mode_t mode) { return fchmodat(AT_FDCWD, name, mode, 0); }

#define SYNCED(name)                                                                    \
    int name(int fd) {                                                                  \
        char path[PATH_MAX];                                                            \
        struct stat now;                                                                \
        int file = watched(fd, S_IFREG, &now, path);                                    \
        if (!file && !watched(fd, S_IFDIR, &now, path))                                 \
            return REAL(name)(fd);                                                      \
        enter();                                                                        \
        int failed = REAL(name)(fd);                                                    \
        struct head head = {.kind = file ? SYNC : SYNC_FOLDER, .inode = now.st_ino};    \
        if (!failed)                                                                    \
            record(head, file ? "" : path, "", "");                                     \
        leave();                                                                        \
        return failed;                                                                  \
    }

SYNCED(fsync)
SYNCED(fdatasync)

/* names */

static mode_t mode_of(const char *place) {
    struct stat now;
    return stat(place, &now) ? 0 : now.st_mode & 07777;
}

/* A call that changes one name, and one that changes two. */
#define NAMED(what, at, path, bits, call)                                       \
    char place[PLACE];                                                       \
    if (!placed(at, path, place))                                               \
        return call;                                                            \
    enter();                                                                    \
    int failed = call;                                                          \
    if (!failed)                                                                \
        record((struct head){.kind = what, .mode = bits}, place, "", "");       \
    leave();                                                                    \
    return failed;

#define MOVED(what, at, old, to, new, call)                                     \
    char from[PLACE], place[PLACE];                                       \
    int left = placed(at, old, from), came = placed(to, new, place);            \
    if (!left && !came)                                                         \
        return call;                                                            \
    enter();                                                                    \
    int failed = call;                                                          \
    if (!failed)                                                                \
        record((struct head){.kind = what}, left ? from : "", came ? place : "", ""); \
    leave();                                                                    \
    return failed;

int mkdirat(int at, const char *path, mode_t mode) {
    NAMED(MKDIR, at, path, mode_of(place), REAL(mkdirat)(at, path, mode))
}

int unlinkat(int at, const char *path, int flags) {
    NAMED(REMOVE, at, path, 0, REAL(unlinkat)(at, path, flags))
}

int linkat(int at, const char *old, int to, const char *new, int flags) {
    MOVED(LINK, at, old, to, new, REAL(linkat)(at, old, to, new, flags))
}

int renameat(int at, const char *old, int to, const char *new) {
    MOVED(RENAME, at, old, to, new, REAL(renameat)(at, old, to, new))
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }
