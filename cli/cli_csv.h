/* cli_csv - results as comma-separated values (RFC 4180, LF at the end of a row): a header, then for each picture its
 * rows.
 *
 *     caption   file,caption,score,error            one row per caption
 *     vqa       file,question,answer,score,error    one row per question, its best answer
 *     retrieve  file,text,score,error               one row per sentence
 *     regions   file,label,score,x0,y0,x1,y1,error  one row per region; an empty row when there is none
 *
 * A picture that failed has one row, empty except for file and error. A value that a spreadsheet would run as a formula
 * (it begins with = + - or @) is prefixed with an apostrophe, a file name with "./", which names the same file.
 * Threads: pure. */
#ifndef CLI_CSV_H
#define CLI_CSV_H

#include "cli/cli_input.h"
#include "engine/base/buf.h"

const char *cli_csv_header(enum cli_command c); /* without an end of line */
void cli_csv_result(struct buf *to, const struct cli_args *a, const struct cli_input *in, const struct job *job);
void cli_csv_error(struct buf *to, enum cli_command c, const struct cli_input *in, enum err rc,
                   const struct errbuf *error);

const char *cli_csv_name_prefix(const char *file); /* what is written before a file's name: "./" or nothing */

/* Reads the next row of a file from text, up to `end`. False for the last one if its end of line is missing.
 * first, last: the first and the last field, unquoted; reset and refilled. */
bool cli_csv_read(const char **text, const char *end, struct buf *first, struct buf *last);

#endif
