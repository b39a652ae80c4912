/* The limit of HTTP on this machine: answers every request with the same bytes.
 *
 * One process, one epoll loop. Of a request it reads where its head ends and how
 * long its body is, and throws the body away. A server that looks at what it was
 * sent cannot be much faster.
 *
 *     cc -O2 -o limit limit.c && ./limit PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define SINK_BYTES (1 << 18)
#define CONNECTIONS_MAX 1024

static struct connection {
    char head[HEAD_MAX + 1];
    size_t filled;
    size_t body_left;
} *connections[CONNECTIONS_MAX];

static char sink[SINK_BYTES];
static char answer[256];
static size_t answer_bytes;

static void make_answer(void)
{
    const char *body = "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
                       "\"shape\":[1,3],\"data\":[0.1,0.2,0.3]}]}";
    answer_bytes = snprintf(answer, sizeof answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
}

/* Take what is there; 1 when a request is whole, 0 when more must come, -1 at the end. */
static int take(int fd, struct connection *c)
{
    if (!c->body_left) {
        ssize_t n = read(fd, c->head + c->filled, HEAD_MAX - c->filled);
        if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
        c->filled += n;
        c->head[c->filled] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) return c->filled == HEAD_MAX ? -1 : 0;
        char *length = strcasestr(c->head, "\r\ncontent-length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        size_t here = c->filled - (end + 4 - c->head);
        c->filled = 0;
        c->body_left = body > here ? body - here : 0;
    }
    while (c->body_left) {
        ssize_t n = read(fd, sink, c->body_left < SINK_BYTES ? c->body_left : SINK_BYTES);
        if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
        c->body_left -= n;
    }
    return 1;
}

static void serve_connection(int fd)
{
    int is_whole = take(fd, connections[fd]);
    if (is_whole > 0 && write(fd, answer, answer_bytes) != (ssize_t)answer_bytes)
        is_whole = -1;
    if (is_whole < 0) {
        close(fd);
        free(connections[fd]);
        connections[fd] = NULL;
    }
}

static void accept_connection(int listener, int epoll)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (fd >= CONNECTIONS_MAX || !(connections[fd] = calloc(1, sizeof **connections))) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) {
        perror("limit: cannot listen");
        exit(1);
    }
    return fd;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: limit PORT\n");
        return 2;
    }
    make_answer();
    int listener = listen_on(atoi(arguments[1])), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_connection(listener, epoll);
            else
                serve_connection(events[i].data.fd);
        }
    }
}
