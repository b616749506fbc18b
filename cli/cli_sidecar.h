/* cli_sidecar - a caption in an XMP sidecar: PICTURE.xmp beside PICTURE, with the text as dc:description, where photo
 * managers (digiKam, darktable, Lightroom after a rename) look for it. The picture itself is never touched.
 *
 * To a sidecar that another program wrote, the description is added, and all else stays byte for byte. If it has a
 * description, or is written in another way than usual, it is left alone: its contents may be irreplaceable.
 *
 * Threads: pure. Errors: ERR_IO. Source: XMP specification part 1 (ISO 16684-1), section 7. */
#ifndef CLI_SIDECAR_H
#define CLI_SIDECAR_H

#include "engine/base/err.h"

/* caption: UTF-8. The new file replaces the old one once it is complete. */
MUST_USE enum err cli_sidecar_write(const char *picture, const char *caption, struct errbuf *e);

#endif
