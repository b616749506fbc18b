/* bench_open_loop - requests at a given rate whether or not earlier ones were answered, with as little work of its own
 * as possible: one thread, connections that are kept and used again, and it wakes once a millisecond, whatever comes:
 * then it sends what is due and reads what has arrived. When that was is what the kernel has noted, so times are exact
 * although it sleeps. For scripts/bench/overload.py.
 *
 *     bench_open_loop PORT RATE SECONDS WARM_UP TIMEOUT_MS IMAGES < PICTURE     RATE requests a second
 *     bench_open_loop PORT xN ...                                               N at a time: each answer makes room
 *
 * Every picture of a run is another one: a number is put behind its bytes. Prints one JSON object. Of the requests that
 * were due in the window after the warm-up: offered = accepted + refused + unanswered. Pictures: answered in time
 * within the window. Percentiles in milliseconds; cpu: of this program within the window, seconds a second. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    REFUSED_PAUSE_US = 20000,
    TICK_US = 1000,
    MAX_CONNECTIONS = 20000,
    MAX_ANSWER = 1 << 20,
    MAX_SAMPLES = 1 << 20,
    MAX_PARTS = 64,
    EVENTS = 256
};

struct connection {
    int fd;
    bool is_busy, is_dead, counts;
    uint64_t began_us, came_us; /* the request was sent, the last bytes of its answer came */
    uint32_t number;
    size_t sent, got, need;
    char *answer; /* [MAX_ANSWER], made at the first use */
    struct connection *next;
};

static struct {
    int port, epoll, images, n_open;
    double rate, cpu_s[2]; /* cpu_s: when the window began and when it ended */
    uint64_t wall_us;      /* the kernel's notes are in wall time: what that is ahead of ours */
    uint64_t warm_up_us, seconds_us, timeout_us, start_us;
    unsigned char *message; /* the request; the numbers of its pictures are written before it is sent */
    size_t n_message, number_at[MAX_PARTS];
    struct connection *idle;
    int at_once; /* closed loop; 0: open */
    long started, offered, accepted, in_time, refused, pictures;
    int n_busy;
    uint64_t pause_until_us; /* closed loop: a refusal is not asked again at once */
    float *refusal_ms, *lag_ms;
    long n_refusal, n_lag;
} b;

static uint64_t us_of(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_nsec / 1000;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return us_of(&t);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the request ---- */

static void append(const void *bytes, size_t n)
{
    memcpy(b.message + b.n_message, bytes, n);
    b.n_message += n;
}

static void append_picture(int i, const unsigned char *picture, size_t n)
{
    append(picture, n);
    b.number_at[i] = b.n_message;
    append("\0\0\0\0", 4);
}

static void make_message(const unsigned char *picture, size_t n)
{
    static const char part[] = "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\n",
                      last[] = "--B--\r\n";
    char head[512];
    size_t n_body = n + 4;
    if (b.images > 1) {
        n_body = (size_t)b.images * (sizeof(part) - 1 + n + 4 + 2) + sizeof(last) - 1;
    }
    b.message = malloc(n_body + sizeof(head));
    int n_head = snprintf(head, sizeof(head),
                          "POST /caption?num_beams=1 HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: %d\r\nContent-Type: "
                          "%s\r\nContent-Length: %zu\r\n\r\n",
                          (int)(b.timeout_us / 1000),
                          b.images > 1 ? "multipart/form-data; boundary=B" : "application/octet-stream", n_body);
    append(head, (size_t)n_head);
    for (int i = 0; i < b.images; i++) {
        if (b.images > 1) {
            append(part, sizeof(part) - 1);
        }
        append_picture(i, picture, n);
        if (b.images > 1) {
            append("\r\n", 2);
        }
    }
    if (b.images > 1) {
        append(last, sizeof(last) - 1);
    }
}

/* ---- connections ---- */

static bool open_connection(struct connection *c)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)b.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    c->is_dead = false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)) {
        return false;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = c}};
    return epoll_ctl(b.epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

static void write_more(struct connection *c)
{
    for (int i = 0; i < b.images; i++) { /* the same bytes at every try */
        uint32_t number = c->number * 64 + (uint32_t)i;
        memcpy(b.message + b.number_at[i], &number, 4);
    }
    while (c->sent < b.n_message) {
        ssize_t n = send(c->fd, b.message + c->sent, b.n_message - c->sent, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        c->sent += (size_t)n;
    }
}

static void start(uint64_t now, bool counts, uint32_t number)
{
    struct connection *c = b.idle;
    if (c) {
        b.idle = c->next;
        if (c->is_dead) {
            close(c->fd);
            if (!open_connection(c)) {
                return;
            }
        }
    } else if (b.n_open >= MAX_CONNECTIONS || !(c = calloc(1, sizeof(*c))) || !(c->answer = malloc(MAX_ANSWER)) ||
               !open_connection(c)) {
        return;
    } else {
        b.n_open++;
    }
    c->is_busy = true;
    b.n_busy++;
    c->counts = counts;
    c->began_us = now;
    c->number = number;
    c->sent = c->got = c->need = 0;
    write_more(c);
}

/* ---- answers ---- */

static long count_of(const char *text, const char *what)
{
    long n = 0;
    for (; (text = strstr(text, what)); text++) {
        n++;
    }
    return n;
}

static void judge(struct connection *c)
{
    uint64_t now = c->came_us;
    double ms = (double)(now - c->began_us) / 1000;
    int status = c->got > 12 ? (int)strtol(c->answer + 9, NULL, 10) : 0;
    c->answer[c->got < MAX_ANSWER ? c->got : MAX_ANSWER - 1] = '\0';
    bool good = status == 200 && now - c->began_us <= b.timeout_us &&
                (b.images == 1 || (count_of(c->answer, "\"captions\"") == b.images && !strstr(c->answer, "\"error\"")));
    uint64_t at = now - b.start_us;
    b.pictures += good && at >= b.warm_up_us && at < b.warm_up_us + b.seconds_us ? b.images : 0;
    bool is_refused = status == 429 || status == 503;
    if (is_refused) {
        b.pause_until_us = now_us() + REFUSED_PAUSE_US;
    }
    if (c->counts && is_refused) {
        b.refused++;
        b.refusal_ms[b.n_refusal++ % MAX_SAMPLES] = (float)ms;
    } else if (c->counts && status > 0) {
        b.accepted++;
        b.in_time += good;
    }
    c->is_busy = false;
    b.n_busy--;
}

static void finish(struct connection *c, bool is_open)
{
    judge(c);
    bool keeps = is_open && c->sent == b.n_message && !strcasestr(c->answer, "\r\nConnection: close");
    if (!keeps) {
        close(c->fd);
        keeps = open_connection(c);
    }
    if (keeps) {
        c->next = b.idle;
        b.idle = c;
    }
}

/* recv, and when the last of it came. */
static ssize_t receive(struct connection *c)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec to = {c->answer + c->got, MAX_ANSWER - 1 - c->got};
    struct msghdr message = {
        .msg_iov = &to, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(c->fd, &message, 0);
    const struct cmsghdr *note = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    c->came_us = now_us();
    if (note && note->cmsg_level == SOL_SOCKET && note->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(note), sizeof(t));
        uint64_t noted_us = us_of(&t) - b.wall_us;
        c->came_us = noted_us > c->began_us && noted_us < c->came_us ? noted_us : c->came_us;
    }
    return n;
}

static void read_more(struct connection *c)
{
    for (;;) {
        ssize_t n = receive(c);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            if (c->is_busy) {
                finish(c, false);
            } else {
                c->is_dead = true;
            }
            return;
        }
        c->got += (size_t)n;
        c->answer[c->got] = '\0';
        const char *end = c->need ? NULL : strstr(c->answer, "\r\n\r\n");
        if (end) {
            const char *length = strcasestr(c->answer, "\r\nContent-Length:");
            c->need = (size_t)(end - c->answer) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0);
        }
        if (c->is_busy && c->need && c->got >= c->need) {
            finish(c, true);
            return;
        }
    }
}

/* ---- time ---- */

static int by_size(const void *x, const void *y)
{
    float a = *(const float *)x, c = *(const float *)y;
    return (a > c) - (a < c);
}

static double percentile(float *values, long n, double p)
{
    n = n < MAX_SAMPLES ? n : MAX_SAMPLES;
    if (n == 0) {
        return 0;
    }
    qsort(values, (size_t)n, sizeof(*values), by_size);
    long i = (long)((double)n * p / 100);
    return values[i < n ? i : n - 1];
}

/* The next request, if it is time for one. */
static bool start_due(uint64_t at, uint64_t end_us)
{
    double due_us = b.at_once > 0 ? (double)at : (double)b.started / b.rate * 1e6;
    bool is_due = b.at_once > 0 ? b.n_busy < b.at_once && b.start_us + at >= b.pause_until_us : due_us <= (double)at;
    if (at >= end_us || !is_due) {
        return false;
    }
    bool counts = due_us >= (double)b.warm_up_us;
    b.offered += counts;
    b.lag_ms[b.n_lag++ % MAX_SAMPLES] = (float)(((double)at - due_us) / 1000);
    int n_before = b.n_busy;
    start(now_us(), counts, (uint32_t)b.started++ + (uint32_t)b.start_us);
    if (b.n_busy == n_before) { /* no connection */
        b.pause_until_us = now_us() + REFUSED_PAUSE_US;
    }
    return true;
}

/* All that has happened since the last time. */
static void serve(void)
{
    struct epoll_event events[EVENTS];
    int k;
    do {
        k = epoll_wait(b.epoll, events, EVENTS, 0);
        for (int i = 0; i < k; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->is_busy && (events[i].events & EPOLLOUT) && c->sent < b.n_message) {
                write_more(c);
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                read_more(c);
            }
        }
    } while (k == EVENTS);
}

static void run(void)
{
    uint64_t end_us = b.warm_up_us + b.seconds_us, tick_us = 0;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    b.start_us = now_us();
    b.wall_us = us_of(&wall) - b.start_us;
    for (uint64_t at = 0; at < end_us + b.timeout_us + 1000000; at = now_us() - b.start_us) {
        b.cpu_s[0] = at < b.warm_up_us ? cpu_seconds() : b.cpu_s[0];
        b.cpu_s[1] = at < end_us ? cpu_seconds() : b.cpu_s[1];
        serve();
        while (start_due(at, end_us)) {
        }
        if (at >= end_us && (b.at_once > 0 || b.n_busy == 0)) {
            break;
        }
        tick_us = at >= tick_us + TICK_US ? at / TICK_US * TICK_US + TICK_US : tick_us + TICK_US;
        uint64_t until_us = b.start_us + tick_us;
        struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
}

int main(int argc, char **argv)
{
    static unsigned char picture[1 << 20];
    if (argc != 7 || (int)strtol(argv[6], NULL, 10) < 1 || (int)strtol(argv[6], NULL, 10) > MAX_PARTS) {
        fprintf(stderr, "use: %s PORT RATE SECONDS WARM_UP TIMEOUT_MS IMAGES < PICTURE\n", argv[0]);
        return 2;
    }
    b.port = (int)strtol(argv[1], NULL, 10);
    if (argv[2][0] == 'x') {
        b.at_once = (int)strtol(argv[2] + 1, NULL, 10);
    } else {
        b.rate = strtod(argv[2], NULL);
    }
    b.seconds_us = (uint64_t)(strtod(argv[3], NULL) * 1e6);
    b.warm_up_us = (uint64_t)(strtod(argv[4], NULL) * 1e6);
    b.timeout_us = (uint64_t)(int)strtol(argv[5], NULL, 10) * 1000;
    b.images = (int)strtol(argv[6], NULL, 10);
    b.epoll = epoll_create1(0);
    b.refusal_ms = malloc(MAX_SAMPLES * sizeof(float));
    b.lag_ms = malloc(MAX_SAMPLES * sizeof(float));
    size_t n = fread(picture, 1, sizeof(picture), stdin);
    if (b.epoll < 0 || !b.refusal_ms || !b.lag_ms || n == 0) {
        return 2;
    }
    make_message(picture, n);
    run();
    printf("{\"offered\": %ld, \"accepted\": %ld, \"in_time\": %ld, \"refused\": %ld, \"unanswered\": %ld, "
           "\"pictures\": %ld, \"refusal_p50\": %.2f, \"refusal_p99\": %.2f, \"lag_p99\": %.2f, \"cpu\": %.3f}\n",
           b.offered, b.accepted, b.in_time, b.refused, b.offered - b.accepted - b.refused, b.pictures,
           percentile(b.refusal_ms, b.n_refusal, 50), percentile(b.refusal_ms, b.n_refusal, 99),
           percentile(b.lag_ms, b.n_lag, 99), (b.cpu_s[1] - b.cpu_s[0]) / ((double)b.seconds_us * 1e-6));
    return 0;
}
