/* Any bytes: finding out the format, its messages, and all decoders a little. Each format also has a target of its
 * own. */
#include "tests/fuzz/image_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    run(data, size);
    return 0;
}
