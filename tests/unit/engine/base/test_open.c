/* A file is opened; what would make its reader wait is refused at once. */
#include "engine/base/open.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    char folder[] = "/tmp/test_open.XXXXXX", file_path[64], fifo_path[64], link_path[64];
    struct errbuf e;
    FILE *file;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file_path, sizeof(file_path), "%s/file", folder);
    snprintf(fifo_path, sizeof(fifo_path), "%s/fifo", folder);
    snprintf(link_path, sizeof(link_path), "%s/link", folder);
    file = fopen(file_path, "w");
    CHECK(file && fputs("text", file) >= 0 && fclose(file) == 0);
    CHECK(symlink("file", link_path) == 0 && mkfifo(fifo_path, 0600) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(open_regular(&file, "a.key", i ? link_path : file_path, &e), OK);
        CHECK(file && fgetc(file) == 't' && fclose(file) == 0);
    }
    const char *const refused[] = {fifo_path, folder, "/dev/zero"};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(open_regular(&file, "a.key", refused[i], &e), ERR_BAD_CONFIG);
        CHECK(!file && strstr(e.text, "a.key") && strstr(e.text, "not a regular file"));
    }
    CHECK_INT(open_regular(&file, "a.key", "/nowhere/file", &e), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, "No such file"));
    unlink(link_path), unlink(fifo_path), unlink(file_path), rmdir(folder);
    return check_result();
}
