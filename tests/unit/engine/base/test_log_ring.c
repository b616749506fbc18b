/* Lines on their way to descriptors that stall, fill up or go away. */
#include "engine/base/log_ring.c"

#include "tests/support/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct log_ring ring;

static void reset(int fd)
{
    static const struct log_ring empty = LOG_RING_INIT(-1);
    memcpy(&ring, &empty, sizeof(ring));
    log_ring_set_fd(&ring, fd);
}

static char line_text[LOG_RING_CHUNK + 1];
/* Line i, a number of n bytes with its newline. */
static const char *line_of(int i, size_t n)
{
    snprintf(line_text, sizeof(line_text), "%0*d\n", (int)n - 1, i);
    return line_text;
}

/* ---- the ring, without its thread ---- */

/* Lengths that wrap at every place: what comes out is what went in. */
static void test_ring(void)
{
    char out[LOG_RING_CHUNK];
    reset(-1);
    int put = 0, got = 0;
    size_t held = 0;
    for (int round = 0; round < 2000; round++) {
        size_t n = 10 + (size_t)(round * 37) % (LOG_RING_CHUNK - 10);
        while (push(&ring, line_of(put, n), n, round % 2)) {
            put++;
            held += n;
            n = 10 + (size_t)(put * 61) % (LOG_RING_CHUNK - 10);
        }
        CHECK(ring._n == held && held <= LOG_RING_BYTES);
        for (int k = 0; k < 3 && ring._n > 0; k++) {
            size_t taken = peek(&ring, out);
            CHECK(taken > 0 && out[taken - 1] == '\n');
            for (size_t at = 0; at < taken; got++) {
                CHECK_INT(strtol(out + at, NULL, 10), got);
                at += (size_t)((char *)memchr(out + at, '\n', taken - at) + 1 - (out + at));
            }
            drop_front(&ring, taken);
            held -= taken;
        }
    }
    CHECK(got > 2000);
}

/* The last part of the ring is kept for lines that matter. */
static void test_urgent(void)
{
    reset(-1);
    int n_plain = 0, n_urgent = 0;
    while (push(&ring, line_of(0, 100), 100, false)) {
        n_plain++;
    }
    while (push(&ring, line_of(0, 100), 100, true)) {
        n_urgent++;
    }
    CHECK_INT(n_plain, (LOG_RING_BYTES - URGENT_BYTES) / 100);
    CHECK(n_plain + n_urgent == LOG_RING_BYTES / 100);
    CHECK(!push(&ring, line_of(0, 100), 100, false));
    size_t left = LOG_RING_BYTES - ring._n;
    CHECK(!push(&ring, line_of(0, left + 1), left + 1, true));
    CHECK(push(&ring, line_of(0, left), left, true)); /* to the last byte */
    CHECK_INT(ring._n, LOG_RING_BYTES);
}

/* ---- descriptors ---- */

static void fill_pipe(int fd)
{
    char zeros[4096] = "";
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while (write(fd, zeros, sizeof(zeros)) > 0) {
    }
    while (write(fd, zeros, 1) > 0) {
    }
    fcntl(fd, F_SETFL, flags);
}

static void test_bad_descriptors(void)
{
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    close(ends[0]); /* the reader is gone */
    const int full = open("/dev/full", O_WRONLY), fds[] = {-1, 999, ends[1], full};
    signal(SIGPIPE, SIG_DFL); /* no reason to die */
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        reset(fds[i]);
        CHECK(!log_ring_add(&ring, "directly\n", 9, true));
        CHECK_INT(log_ring_lost(&ring), 1);
        CHECK_INT(log_ring_start(&ring), OK);
        for (int k = 0; k < 1000; k++) {
            CHECK(log_ring_add(&ring, "line\n", 5, true));
        }
        CHECK(log_ring_flush(&ring, 10000));
        CHECK_INT(log_ring_lost(&ring), 1001);
        CHECK(log_ring_stop(&ring, 10000)); /* nothing more was lost */
        CHECK_INT(log_ring_lost(&ring), 1001);
    }
    close(full);
    close(ends[1]);
}

/* A stalled reader holds nobody up: neither the callers nor the end. */
static void test_stall(void)
{
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    fill_pipe(ends[1]);
    reset(ends[1]);
    CHECK(!log_ring_add(&ring, "directly\n", 9, true));
    CHECK(ring._is_stalled);
    CHECK(!log_ring_add(&ring, "at once\n", 8, true));
    CHECK_INT(log_ring_start(&ring), OK);
    int n_good = 0;
    for (int i = 0; i < 10000; i++) {
        n_good += log_ring_add(&ring, line_of(i, 100), 100, true);
    }
    CHECK(n_good >= LOG_RING_BYTES / 100 && n_good < LOG_RING_BYTES / 100 + 2 * LOG_RING_CHUNK / 100);
    CHECK(!log_ring_flush(&ring, 0));
    uint64_t began = clock_us();
    CHECK(!log_ring_stop(&ring, 100));
    CHECK(clock_us() - began < 5000000);        /* a bound on hanging, not on speed */
    CHECK_INT(log_ring_lost(&ring), 2 + 10000); /* the pipe took none */
    CHECK(!ring._is_running && ring._is_stalled);
    CHECK(!log_ring_add(&ring, "after\n", 6, true));
    close(ends[0]);
    close(ends[1]);
}

/* A disk that fills up within a line and has room again later: the next line is whole. */
static void test_torn(void)
{
    char path[] = "/tmp/test_log_ring_XXXXXX", text[100] = "";
    int fd = mkstemp(path);
    reset(fd);
    CHECK_INT(write(fd, "half a", 6), 6);
    ring._is_torn = true;
    CHECK_INT(write_chunk(&ring, "one\ntwo\n", 8, 0), 0);
    CHECK(!ring._is_torn);
    CHECK_INT(write_chunk(&ring, "three\n", 6, 0), 0);
    CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
    CHECK_STR(text, "half a\none\ntwo\nthree\n");
    close(fd);
    unlink(path);
    CHECK_INT(count_lines("a\nb\nc", 5), 2);
    CHECK_INT(count_lines("", 0), 0);
}

/* ---- threads ---- */

enum { WRITERS = 4, LINES = 2000 };

static void *write_many(void *user)
{
    char line[64];
    for (int i = 0; i < LINES; i++) {
        int n = snprintf(line, sizeof(line), "%d %d\n", (int)(intptr_t)user, i);
        while (!log_ring_add(&ring, line, (size_t)n, true)) {
            log_ring_flush(&ring, 1000);
        }
    }
    return NULL;
}

/* Through a pipe that is read slowly: each line of each thread arrives once, whole, in its order. */
static void test_threads(void)
{
    pthread_t threads[WRITERS];
    int ends[2], next[WRITERS] = {0}, n_lines = 0;
    char line[100];
    CHECK_INT(pipe(ends), 0);
    reset(ends[1]);
    CHECK_INT(log_ring_start(&ring), OK);
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, write_many, (void *)(intptr_t)i), 0);
    }
    FILE *f = fdopen(ends[0], "r");
    while (n_lines < WRITERS * LINES && fgets(line, sizeof(line), f)) {
        int who = -1, i = -1;
        CHECK_INT(sscanf(line, "%d %d\n", &who, &i), 2);
        CHECK(who >= 0 && who < WRITERS && next[who]++ == i);
        n_lines++;
    }
    CHECK_INT(n_lines, WRITERS * LINES);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(log_ring_stop(&ring, 10000));
    fclose(f);
    close(ends[1]);
}

/* What was added before the stop is written by it; it may start again. */
static void test_start_and_stop(void)
{
    char path[] = "/tmp/test_log_ring_XXXXXX", text[100] = "";
    int fd = mkstemp(path);
    reset(fd);
    CHECK(log_ring_flush(&ring, 0)); /* nothing to do */
    CHECK(log_ring_stop(&ring, 0));  /* not running */
    for (int round = 0; round < 2; round++) {
        CHECK(log_ring_add(&ring, "directly\n", 9, false));
        CHECK_INT(log_ring_start(&ring), OK);
        CHECK(log_ring_add(&ring, "by the thread\n", 14, false));
        CHECK(log_ring_stop(&ring, 10000));
    }
    CHECK(log_ring_add(&ring, "directly\n", 9, false));
    CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
    CHECK_STR(text, "directly\nby the thread\ndirectly\nby the thread\ndirectly\n");
    close(fd);
    unlink(path);
}

int main(void)
{
    test_ring();
    test_urgent();
    test_bad_descriptors();
    test_stall();
    test_torn();
    test_threads();
    test_start_and_stop();
    return check_result();
}
