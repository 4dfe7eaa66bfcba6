/*
 * Keeps, beside a data directory, an image of what is surely on the disk. Loaded into the server with
 * LD_PRELOAD. It also makes every sync slow.
 *
 * The model. A file's content is durable as it was at its last fsync or fdatasync, and nothing else of it is.
 * A name (of a new, renamed or removed file or directory) is durable as it was at the last fsync of its
 * directory; syncing a file does not make its name durable. msync, sync_file_range and O_SYNC count for
 * nothing. That is what POSIX promises, and less than what most file systems do.
 *
 * Content and names are copied before the real call, so everything that a caller may rely on after the call
 * is in the image. What the image has too much when the process dies in between might as well have
 * reached the disk.
 *
 * The image, in $PAVLOV_FAULT_SHADOW, names files and directories by inode number and time of birth (a number
 * alone is given again):
 *   content/<key>   the content of a file
 *   names/<key>     the entries of a directory, a line each: d or f, the entry's key, its name
 * Only what lies below $PAVLOV_FAULT_DIR is kept.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, BLOCK = 64 * PAGE, PATH_BYTES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A test whose image is incomplete would find faults that are none. */
static void fail(const char *what)
{
    fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
    abort();
}

static void key_of(int fd, const char *name, char *key, size_t bytes, int *is_directory)
{
    struct statx info;
    if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &info) != 0) {
        key[0] = 0; /* gone meanwhile */
        return;
    }
    if (!(info.stx_mask & STATX_BTIME))
        fail("this file system keeps no time of birth");
    *is_directory = S_ISDIR(info.stx_mode);
    snprintf(key, bytes, "%llu-%lld.%09u", (unsigned long long)info.stx_ino,
             (long long)info.stx_btime.tv_sec, info.stx_btime.tv_nsec);
}

static size_t read_block(int fd, char *block, off_t offset)
{
    size_t done = 0;
    while (done < BLOCK) {
        ssize_t count = pread(fd, block + done, BLOCK - done, offset + (off_t)done);
        if (count < 0)
            fail("read");
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return done;
}

/* Copies the pages that differ. */
static void copy_content(int given, const char *target)
{
    static char current[BLOCK], durable[BLOCK];
    char path[64];
    off_t offset = 0;
    int out = open(target, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    /* The descriptor given may be write-only. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", given);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0)
        fail(target);
    for (;;) {
        size_t bytes = read_block(in, current, offset);
        size_t before = read_block(out, durable, offset);
        for (size_t page = 0; page < bytes; page += PAGE) {
            size_t length = bytes - page < PAGE ? bytes - page : PAGE;
            if (before >= page + length && memcmp(current + page, durable + page, length) == 0)
                continue;
            if (pwrite(out, current + page, length, offset + (off_t)page) != (ssize_t)length)
                fail("write");
        }
        offset += (off_t)bytes;
        if (bytes < BLOCK)
            break;
    }
    if (ftruncate(out, offset) != 0)
        fail("truncate");
    close(in);
    close(out);
}

static void copy_names(int fd, const char *target)
{
    char beside[PATH_BYTES + 8], key[64];
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), is_directory = 0;
    DIR *directory = own < 0 ? NULL : fdopendir(own);
    snprintf(beside, sizeof beside, "%s.new", target);
    FILE *out = fopen(beside, "we");
    if (!directory || !out)
        fail(target);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        key_of(own, entry->d_name, key, sizeof key, &is_directory);
        if (key[0])
            fprintf(out, "%c %s %s\n", is_directory ? 'd' : 'f', key, entry->d_name);
    }
    closedir(directory);
    if (fclose(out) != 0 || rename(beside, target) != 0)
        fail(target);
}

/* A slow disk: most of the time some write waits for its sync, so a random moment is a bad one. */
static void dawdle(void)
{
    long most = random() % 8 == 0 ? 150000 : 10000;
    usleep((useconds_t)(random() % most));
}

static void keep(int fd)
{
    const char *below = getenv("PAVLOV_FAULT_DIR"), *shadow = getenv("PAVLOV_FAULT_SHADOW");
    char link[64], path[PATH_BYTES], target[PATH_BYTES], key[64];
    int is_directory = 0, before = errno;
    if (!below || !shadow)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return;
    path[length] = 0;
    size_t prefix = strlen(below);
    if (strncmp(path, below, prefix) != 0 || (path[prefix] != '/' && path[prefix] != 0))
        return;
    dawdle();
    pthread_mutex_lock(&lock);
    key_of(fd, "", key, sizeof key, &is_directory);
    snprintf(target, sizeof target, "%s/%s/%s", shadow, is_directory ? "names" : "content", key);
    if (is_directory)
        copy_names(fd, target);
    else
        copy_content(fd, target);
    pthread_mutex_unlock(&lock);
    errno = before;
}

static int call(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!real)
        fail(name);
    keep(fd);
    return real(fd);
}

int fsync(int fd) { return call("fsync", fd); }

int fdatasync(int fd) { return call("fdatasync", fd); }
