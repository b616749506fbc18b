/* cli - the program `minivlm`: the engine on the command line.
 *
 * Results go to standard output, in the order of the input; error messages and the progress bar go to standard error.
 * Exit codes: 0 success; 1 a model, an input or the output failed; 2 usage error. */
#ifndef CLI_H
#define CLI_H

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_run(int argc, char **argv);

#endif
