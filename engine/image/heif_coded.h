/* heif_coded - how large a coded picture inside a HEIF file really is, from the codec's own headers.
 *
 * The boxes of a file may name any size; the decoders allocate and work according to the bitstream. This reads just
 * enough of it (HEVC's sequence parameter sets, AV1's sequence header) to compare the two, and checks that one item is
 * one picture and not a video. Sources: ITU-T H.265 7.3.2.2, AV1 5.3 to 5.5.
 *
 * Threads: thread-safe. Failure: false for what is not valid or not understood. */
#ifndef ENGINE_IMAGE_HEIF_CODED_H
#define ENGINE_IMAGE_HEIF_CODED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heif_coded_size {
    uint32_t width, height; /* the largest one declared */
    bool is_deep;           /* more than 8 bits */
};

/* config: the body of hvcC; data: the item, NAL units with lengths. Parameter sets belong to config only. */
bool heif_coded_hevc(const uint8_t *config, size_t n_config, const uint8_t *data, size_t n,
                     struct heif_coded_size *out);
/* config: the body of av1C; data: the item, OBUs. */
bool heif_coded_av1(const uint8_t *config, size_t n_config, const uint8_t *data, size_t n, struct heif_coded_size *out);

#endif
