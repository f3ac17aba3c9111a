/* What SMTP itself allows: sends COUNT copies of one message to 127.0.0.1:PORT over CONNECTIONS pipelined connections.
   limit PORT COUNT CONNECTIONS BODY_OCTETS
   As in the product, one body a connection awaits its answer, and the next envelope rides behind the dot. No rendering,
   no journal, no database. Prints the seconds that it took; ends with 1 if the server says anything unexpected. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENVELOPE "MAIL FROM:<news@example.com>\r\nRCPT TO:<user@example.net>\r\nDATA\r\n"
#define HEAD "From: news@example.com\r\nTo: user@example.net\r\nSubject: Limit\r\nMessage-ID: <1@example.com>\r\n\r\n"
enum { GREETING, HELLO, ENVELOPE_ANSWERS, FINAL, LAST };

struct line { int fd, state, answers, used, sent, size; char in[4096]; const char *out; };
static long started, finished, count;
static char *first, *next_one, *final_one;
static int first_size, next_size, final_size;

static void die(const char *what) { perror(what); exit(1); }

static void push(struct line *l) {
    while (l->sent < l->size) {
        ssize_t n = write(l->fd, l->out + l->sent, l->size - l->sent);
        if (n < 0) { if (errno == EAGAIN) return; die("write"); }
        l->sent += n;
    }
}

static void say(struct line *l, const char *what, int size) { l->out = what; l->size = size; l->sent = 0; push(l); }

static void answered(struct line *l, int code) {
    switch (l->state) {
    case GREETING: l->state = HELLO; say(l, "EHLO limit\r\n", 12); return;
    case HELLO:
        if (started >= count) { l->state = LAST; return; }
        started++; l->state = ENVELOPE_ANSWERS; l->answers = 0; say(l, first, first_size); return;
    case FINAL:
        finished++;
        l->state = ENVELOPE_ANSWERS; l->answers = 0;
        if (code != 250) exit(1);
        if (l->out == final_one) l->state = LAST;
        return;
    case ENVELOPE_ANSWERS:
        if (++l->answers < 3) { if (code != 250) exit(1); return; }
        if (code != 354) exit(1);
        l->state = FINAL;
        if (started < count) { started++; say(l, next_one, next_size); } else say(l, final_one, final_size);
    }
}

static int heard(struct line *l) {
    ssize_t n = read(l->fd, l->in + l->used, sizeof l->in - l->used);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) die("read");
    l->used += n;
    char *at = l->in, *end;
    while ((end = memchr(at, '\n', l->in + l->used - at))) {
        if (end - at >= 4 && at[3] != '-') answered(l, atoi(at));
        at = end + 1;
    }
    l->used -= at - l->in;
    memmove(l->in, at, l->used);
    return 1;
}

static char *message(int body, const char *tail, int *size) {
    char *made = malloc(sizeof HEAD + body + 8 + strlen(tail)), *at = made;
    at += sprintf(at, "%s", HEAD);
    for (int i = 0; i < body; i++) *at++ = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'x';
    at += sprintf(at, "\r\n.\r\n%s", tail);
    *size = at - made;
    return made;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    count = atol(argv[2]);
    int lines = atoi(argv[3]), body = atoi(argv[4]), poll = epoll_create1(0), one = 1;
    first = ENVELOPE; first_size = strlen(first);
    next_one = message(body, ENVELOPE, &next_size);
    final_one = message(body, "", &final_size);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < lines; i++) {
        struct line *l = calloc(1, sizeof *l);
        l->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(l->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(l->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event want = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = l };
        if (epoll_ctl(poll, EPOLL_CTL_ADD, l->fd, &want)) die("epoll_ctl");
    }
    struct epoll_event ready[64];
    while (finished < count) {
        int n = epoll_wait(poll, ready, 64, 10000);
        if (n == 0) { fputs("the server is silent\n", stderr); return 1; }
        for (int i = 0; i < n; i++) {
            struct line *l = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT) push(l);
            if (ready[i].events & (EPOLLIN | EPOLLHUP))
                while (heard(l)) continue;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f\n", end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9);
    return 0;
}
