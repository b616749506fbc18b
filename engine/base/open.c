#include "engine/base/open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err open_regular(FILE **out, const char *key, const char *path, struct errbuf *e)
{
    struct stat st;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        int why = errno;
        if (fd >= 0) {
            close(fd);
        }
        return err_set(e, ERR_BAD_CONFIG, "%s: %s: %s", key, path, strerror(why));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, ERR_BAD_CONFIG, "%s: %s is not a regular file", key, path);
    }
    *out = fdopen(fd, "rb");
    if (!*out) {
        close(fd);
        return err_set(e, ERR_NOMEM, "%s: out of memory", key);
    }
    return OK;
}
