/* The origin and the load of scripts/bench-peers: both have to cost less than what they measure.
 *
 *     bench origin COUNT
 *     bench load KIND PORT CONNECTIONS SECONDS [RATE]
 *
 * `origin` listens on COUNT free ports of 127.0.0.1, prints them in one line, and serves until it is killed.
 * `load` sends requests for a time and prints one line: requests, seconds, p50 and p99 in microseconds (0 0
 * without RATE). Status, length and every byte of each body are checked; the first fault ends it with 1.
 *
 * KIND: small, large, post, close (a connection for each request), echo (frames of a WebSocket).
 * Without RATE each connection sends its next request when it has the answer to the one before. With RATE
 * requests are due at times drawn beforehand (exponential gaps), and take the next free connection: the time
 * counts from when a request was due, so a proxy that stalls is not spared those that had to wait.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 128, LARGE = 65536, UPLOAD = 16384, FRAME = 125, HEAD_MAX = 8192, EVENTS = 256 };
/* A key and what RFC 6455 has a server answer to it, so that neither side needs SHA-1. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define FIELDS "Server: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n"

static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
static const double PATIENCE = 10; /* Seconds without an answer after which the load gives up. */
/* What bodies consist of: no short period, so that a lost, doubled or moved part is seen. */
static char pattern[LARGE];

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void fill_pattern(void) {
    uint32_t state = 1;
    for (int i = 0; i < LARGE; i++) {
        state = state * 1103515245 + 12345;
        pattern[i] = 'a' + (state >> 16) % 26;
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static struct sockaddr_in local(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* The value of Content-Length in a head that ends with NUL; -1 without one. */
static long content_length(const char *head) {
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field ? strtol(field + 17, NULL, 10) : -1;
}

/* ---- origin ---- */

struct served {
    int fd, is_listener, is_tunnel, is_last, has_bad_upload;
    size_t have, to_read, uploaded, to_send;
    const char *answer, *next;
    char in[HEAD_MAX + 1], out[2 * FRAME];
};

static char small_answer[1024], large_answer[LARGE + 1024], bad_answer[128], upgrade_answer[512];
static size_t small_size, large_size, bad_size, upgrade_size;

static size_t make_answer(char *into, size_t body) {
    size_t head = sprintf(into, "HTTP/1.1 200 OK\r\n" FIELDS "Content-Length: %zu\r\n"
        "Cache-Control: public, max-age=60\r\nETag: \"5f3759df\"\r\n\r\n", body);
    memcpy(into + head, pattern, body);
    return head + body;
}

/* Sends what is left: 1 if the connection can go on, 0 if it has to wait, -1 if it is over. */
static int flush(int epoll, struct served *c) {
    while (c->to_send) {
        ssize_t sent = send(c->fd, c->next, c->to_send, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
            epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
            return 0;
        }
        if (sent < 0) return -1;
        c->next += sent;
        c->to_send -= sent;
    }
    return c->is_last ? -1 : 1;
}

static void answer(struct served *c, const char *text, size_t size) {
    c->next = text;
    c->to_send = size;
}

/* Looks at a head, which is whole; what follows it stays. */
static void take_head(struct served *c, size_t head) {
    char kept = c->in[head];
    c->in[head] = 0;
    c->is_last = strcasestr(c->in, "\r\nconnection: close\r\n") != NULL;
    if (!strncmp(c->in, "GET /echo ", 10) && strcasestr(c->in, "\r\nsec-websocket-key: " KEY "\r\n")) {
        c->is_tunnel = 1;
        answer(c, upgrade_answer, upgrade_size);
    } else if (!strncmp(c->in, "GET /large ", 11)) {
        answer(c, large_answer, large_size);
    } else if (!strncmp(c->in, "GET ", 4)) {
        answer(c, small_answer, small_size);
    } else if (!strncmp(c->in, "POST ", 5) && content_length(c->in) == UPLOAD) {
        c->to_read = UPLOAD;
        c->uploaded = c->has_bad_upload = 0;
    } else {
        answer(c, bad_answer, bad_size);
    }
    c->in[head] = kept;
    c->have -= head;
    memmove(c->in, c->in + head, c->have);
}

/* A masked frame of FRAME bytes goes back without its mask. */
static void take_frame(struct served *c) {
    size_t size = 6 + FRAME;
    c->out[0] = c->in[0];
    c->out[1] = FRAME;
    for (int i = 0; i < FRAME; i++) c->out[2 + i] = c->in[6 + i] ^ c->in[2 + i % 4];
    answer(c, c->out, 2 + FRAME);
    c->have -= size;
    memmove(c->in, c->in + size, c->have);
}

static void take_upload(struct served *c) {
    size_t part = c->have < c->to_read ? c->have : c->to_read;
    if (memcmp(c->in, pattern + c->uploaded, part)) c->has_bad_upload = 1;
    c->uploaded += part;
    c->to_read -= part;
    c->have -= part;
    memmove(c->in, c->in + part, c->have);
    if (!c->to_read) answer(c, c->has_bad_upload ? bad_answer : small_answer, c->has_bad_upload ? bad_size : small_size);
}

/* Whether something was done with what has arrived. */
static int take(struct served *c) {
    if (c->to_read) {
        if (!c->have) return 0;
        take_upload(c);
        return 1;
    }
    if (c->is_tunnel) {
        if (c->have < 6 + FRAME) return 0;
        take_frame(c);
        return 1;
    }
    c->in[c->have] = 0;
    char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) return 0;
    take_head(c, end + 4 - c->in);
    return 1;
}

static int serve(int epoll, struct served *c, uint32_t events) {
    if (c->to_send) {
        int ready = flush(epoll, c);
        if (ready <= 0) return ready;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t got = recv(c->fd, c->in + c->have, HEAD_MAX - c->have, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return -1;
        if (got > 0) c->have += got;
    }
    while (take(c)) {
        if (!c->to_send) continue;
        int ready = flush(epoll, c);
        if (ready <= 0) return ready;
    }
    return c->have == HEAD_MAX && !c->to_read ? -1 : 0;
}

static void origin(int count) {
    small_size = make_answer(small_answer, SMALL);
    large_size = make_answer(large_answer, LARGE);
    bad_size = sprintf(bad_answer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    upgrade_size = sprintf(upgrade_answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n");
    int epoll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct served *c = calloc(1, sizeof *c);
        struct sockaddr_in address = local(0);
        socklen_t size = sizeof address;
        c->is_listener = 1;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (bind(c->fd, (void *)&address, size) || listen(c->fd, 4096)) fail("the origin cannot listen: %m");
        getsockname(c->fd, (void *)&address, &size);
        printf("%d%c", ntohs(address.sin_port), i + 1 < count ? ' ' : '\n');
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    }
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct served *c = events[i].data.ptr;
            if (!c->is_listener) {
                if (serve(epoll, c, events[i].events) < 0) {
                    close(c->fd);
                    free(c);
                }
                continue;
            }
            int fd;
            while ((fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct served *fresh = calloc(1, sizeof *fresh);
                fresh->fd = fd;
                no_delay(fd);
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = fresh};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}

/* ---- load ---- */

enum state { CONNECTING, OPENING, FREE, SENDING, READING, ENDING };

struct client {
    int fd, is_upgraded;
    uint32_t events;
    enum state state;
    char *request, *id;
    size_t size, sent, have;
    double due;
    long frames;
    char in[LARGE + HEAD_MAX + 1];
};

static const char *kind;
static int port, epoll, is_echo, is_close, in_flight;
static struct client *clients, **idle;
static int idle_count;
static long done_count, sent_count;
static double *taken;
static size_t taken_room;

static int is_kind(const char *name) { return !strcmp(kind, name); }

static void watch(struct client *c, uint32_t events) {
    if (c->events == events) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(epoll, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->events = events;
}

static void open_client(struct client *c) {
    struct sockaddr_in address = local(port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    no_delay(c->fd);
    c->events = 0;
    c->have = c->sent = 0;
    c->state = CONNECTING;
    if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) fail("cannot connect: %m");
    watch(c, EPOLLOUT);
}

static void make_request(struct client *c) {
    int is_post = is_kind("post");
    c->request = malloc(HEAD_MAX + UPLOAD);
    int head = sprintf(c->request, "%s /%s HTTP/1.1\r\nHost: service.example\r\nUser-Agent: bench/1.0\r\n"
        "Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\nX-Request-Id: ",
        is_post ? "POST" : "GET", is_close ? "small" : kind);
    c->id = c->request + head;
    head += sprintf(c->request + head, "%032x\r\n", 0);
    if (is_post) head += sprintf(c->request + head, "Content-Length: %d\r\n", UPLOAD);
    else head += sprintf(c->request + head, "Accept-Language: en\r\n");
    if (is_close) head += sprintf(c->request + head, "Connection: close\r\n");
    if (is_echo) head += sprintf(c->request + head, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n");
    head += sprintf(c->request + head, "\r\n");
    c->size = head;
    if (is_post) {
        memcpy(c->request + head, pattern, UPLOAD);
        c->size += UPLOAD;
    }
}

/* A new id for each request: it decides which origin serves it. */
static void number_request(struct client *c) {
    static const char hex[] = "0123456789abcdef";
    uint64_t value = ++sent_count * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 16; i++, value >>= 4) c->id[16 + i] = hex[value & 15];
}

static void make_frame(struct client *c) {
    unsigned char *frame = (unsigned char *)c->request;
    frame[0] = 0x82;
    frame[1] = 0x80 | FRAME;
    memcpy(frame + 2, MASK, 4);
    c->frames++;
    for (int i = 0; i < FRAME; i++) {
        unsigned char byte = i < (int)sizeof c->frames ? c->frames >> (8 * i) : pattern[i];
        frame[6 + i] = byte ^ MASK[i % 4];
    }
    c->size = 6 + FRAME;
}

static void send_more(struct client *c) {
    while (c->sent < c->size) {
        ssize_t sent = send(c->fd, c->request + c->sent, c->size - c->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            c->state = SENDING;
            watch(c, EPOLLOUT | EPOLLIN);
            return;
        }
        if (sent < 0) fail("a request cannot be sent: %m");
        c->sent += sent;
    }
    c->state = READING;
    watch(c, EPOLLIN);
}

static void begin(struct client *c, double due) {
    c->due = due;
    c->sent = c->have = 0;
    in_flight++;
    if (c->is_upgraded) make_frame(c);
    else number_request(c);
    if (is_close) open_client(c);
    else send_more(c);
}

static void release(struct client *c) {
    c->state = FREE;
    idle[idle_count++] = c;
}

static void note_done(struct client *c, int is_timed) {
    done_count++;
    in_flight--;
    if (!is_timed) return;
    if ((size_t)done_count > taken_room) {
        taken_room = taken_room ? 2 * taken_room : 1 << 16;
        taken = realloc(taken, taken_room * sizeof *taken);
    }
    taken[done_count - 1] = now() - c->due;
}

/* Whether the response in the buffer is whole; a wrong one ends the program. */
static int is_whole(struct client *c) {
    c->in[c->have] = 0;
    if (c->is_upgraded) {
        size_t size = 2 + FRAME;
        if (c->have < size) return 0;
        const unsigned char *sent = (unsigned char *)c->request, *got = (unsigned char *)c->in;
        if (c->have > size || got[0] != 0x82 || got[1] != FRAME) fail("not the frame that was sent");
        for (int i = 0; i < FRAME; i++)
            if (got[2 + i] != (sent[6 + i] ^ MASK[i % 4])) fail("not the bytes that were sent");
        return 1;
    }
    char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) {
        if (c->have >= HEAD_MAX) fail("the head of a response has no end");
        return 0;
    }
    if (is_echo) {
        if (strncmp(c->in, "HTTP/1.1 101 ", 13) || !strcasestr(c->in, "sec-websocket-accept: " ACCEPT "\r\n"))
            fail("no WebSocket: %.60s", c->in);
        return 1;
    }
    if (strncmp(c->in, "HTTP/1.1 200 ", 13)) fail("not the right status: %.60s", c->in);
    size_t length = is_kind("large") ? LARGE : SMALL, head = end + 4 - c->in;
    end[2] = 0;
    long said = content_length(c->in);
    end[2] = '\r';
    if (said != (long)length) fail("not the right length: %ld", said);
    if (c->have > head + length) fail("more than a response");
    if (c->have < head + length) return 0;
    if (memcmp(c->in + head, pattern, length)) fail("not the right body");
    return 1;
}

/* Reads what there is; whether the client is free for its next request. */
static int read_more(struct client *c, int is_timed) {
    ssize_t got = recv(c->fd, c->in + c->have, sizeof c->in - 1 - c->have, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (c->state == ENDING && got > 0) fail("more than a response");
    if (c->state != ENDING) {
        if (got < 0) fail("a response cannot be read: %m");
        if (got == 0) fail("the connection ended before the response did");
        c->have += got;
        if (!is_whole(c)) return 0;
        if (is_echo && !c->is_upgraded) {
            c->is_upgraded = 1;
            return 1;
        }
        if (is_close) {
            c->state = ENDING;
            return read_more(c, is_timed);
        }
    } else {
        close(c->fd);
    }
    note_done(c, is_timed);
    return 1;
}

static void connected(struct client *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) fail("cannot connect: %s", strerror(error));
    if (is_echo) number_request(c);
    if (is_close || is_echo) {
        send_more(c);
        return;
    }
    watch(c, EPOLLIN);
    release(c);
}

static double gap(double rate) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return -log((state >> 11) / 9007199254740992.0 + 1e-18) / rate;
}

static void handle(struct client *c, uint32_t events, int is_timed) {
    if (c->state == CONNECTING) {
        connected(c);
        return;
    }
    if (c->state == FREE) fail("the connection ended while it was idle");
    if (c->state == SENDING && events & EPOLLOUT) send_more(c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && read_more(c, is_timed)) release(c);
}

static int by_size(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static double percentile(double part) { return done_count ? taken[(long)(part * (done_count - 1))] * 1e6 : 0; }

static void load(int count, double seconds, double rate) {
    epoll = epoll_create1(0);
    is_echo = is_kind("echo");
    is_close = is_kind("close");
    /* Waits are of tens of microseconds. */
    prctl(PR_SET_TIMERSLACK, 1L);
    clients = calloc(count, sizeof *clients);
    idle = calloc(count, sizeof *idle);
    for (int i = 0; i < count; i++) {
        make_request(&clients[i]);
        if (is_close) release(&clients[i]);
        else open_client(&clients[i]);
    }
    int is_open = is_close, is_timed = rate > 0;
    double began = now(), last = began, due = began;
    for (;;) {
        double time = now(), wait = PATIENCE;
        if (!is_open && idle_count == count) {
            is_open = 1;
            began = due = last = time;
        }
        int is_over = is_open && time >= began + seconds && !(is_timed && due < began + seconds);
        if (is_over && !in_flight) break;
        if (is_open && !is_over && !is_timed)
            while (idle_count) begin(idle[--idle_count], time);
        /* A request that was due before the end is still sent after it. */
        while (is_open && is_timed && idle_count && due <= time && due < began + seconds) {
            begin(idle[--idle_count], due);
            due += gap(rate);
        }
        if (is_open && is_timed && idle_count && due < began + seconds) wait = due - time;
        else if (is_open && !is_over && !in_flight) wait = began + seconds - time;
        if (wait < 0) wait = 0;
        struct timespec span = {.tv_sec = (long)wait, .tv_nsec = (long)((wait - (long)wait) * 1e9)};
        struct epoll_event events[EVENTS];
        int ready = epoll_pwait2(epoll, events, EVENTS, &span, NULL);
        if (ready > 0) last = now();
        else if ((in_flight || !is_open) && now() - last > PATIENCE) fail("no answer for %.0f s", PATIENCE);
        for (int i = 0; i < ready; i++) handle(events[i].data.ptr, events[i].events, is_timed);
    }
    double took = now() - began;
    if (is_timed) qsort(taken, done_count, sizeof *taken, by_size);
    printf("%ld %.6f %.1f %.1f\n", done_count, took, is_timed ? percentile(0.5) : 0, is_timed ? percentile(0.99) : 0);
}

int main(int argc, char **argv) {
    fill_pattern();
    if (argc == 3 && !strcmp(argv[1], "origin")) origin(atoi(argv[2]));
    else if (argc == 6 || argc == 7) {
        kind = argv[2];
        port = atoi(argv[3]);
        load(atoi(argv[4]), atof(argv[5]), argc == 7 ? atof(argv[6]) : 0);
    } else fail("usage: bench origin COUNT | bench load KIND PORT CONNECTIONS SECONDS [RATE]");
    return 0;
}
