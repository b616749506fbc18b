/* breakout - a library to preload: an attacker has taken over the decoder of JPEG (tests/e2e/test_sandbox.py). The
 * thread that reads the head of one starts a program instead. */
#include <stdlib.h>
#include <unistd.h>

int jpeg_read_header(void *info, int is_image_required);

int jpeg_read_header(void *info, int is_image_required)
{
    char name[] = "true", *arguments[] = {name, NULL};
    (void)info;
    (void)is_image_required;
    execv("/bin/true", arguments);
    abort(); /* which the test tells from being killed by the sandbox */
}
