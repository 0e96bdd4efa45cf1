/* Writes down each sync of a file to the disk: preloaded into Loa by tests/journeys/syncs.rs, since
 * the end of a process cannot tell what was synced from what was not. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int sync_by(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(file);
    char link[64], line[4100];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, line, sizeof line - 2);
    const char *log = getenv("SYNCS");
    if (result == 0 && length > 0 && log != NULL) {
        line[length] = '\n';
        int to = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
        if (to < 0 || write(to, line, (size_t)length + 1) < 0) {
            abort();
        }
        close(to);
    }
    return result;
}

int fsync(int file) { return sync_by("fsync", file); }
int fdatasync(int file) { return sync_by("fdatasync", file); }
