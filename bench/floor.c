/*
 * The floor: a WebSocket relay with little in it but the system calls of the plainest way to do it.
 * For each recv() it unmasks what is complete, and calls send() once per subscriber of the same request target. So
 * one message at a time costs one recv() and a send() per subscriber, which no relay on these calls can go below. It
 * joins the messages of one recv(), never those of several: a broker that waits for the end of a turn before it sends
 * makes fewer calls where messages come in from many publishers or in many pieces, and can then need less.
 * It trusts its clients: no credentials, no limits, no check of what they say. It exists to be measured, never used.
 *
 * Usage: floor PORT      (listens on 127.0.0.1)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, HEAD_SIZE = 4096, EVENTS = 1024 };

struct client {
    int fd;
    int open;            /* whether the handshake is done */
    int index;           /* place in `clients` */
    uint64_t topic;      /* hash of the request target */
    size_t kept;         /* bytes of an incomplete head or frame, in `partial` */
    unsigned char *partial;
};

static struct client **clients;
static int client_count, client_room;
/* Room in front for the kept bytes; a frame is at most READ_SIZE - HEAD_SIZE long. */
static unsigned char input[2 * READ_SIZE], output[2 * READ_SIZE];

/* ---- SHA-1 and base64, for Sec-WebSocket-Accept (RFC 6455 section 4.2.2) ---- */

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const unsigned char *p)
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

static void accept_value(const char *key, char out[29])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char block[128] = {0}, digest[21] = {0};
    int length = snprintf((char *)block, 100, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    block[length] = 0x80; /* 60 bytes and the mark: two blocks */
    block[126] = length * 8 >> 8;
    block[127] = length * 8 & 255;
    sha1_block(h, block);
    sha1_block(h, block + 64);
    for (int i = 0; i < 20; i++)
        digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
    for (int i = 0; i < 28; i++) {
        int bit = i * 6, value = (digest[bit / 8] << 8 | digest[bit / 8 + 1]) >> (10 - bit % 8) & 63;
        out[i] = alphabet[value];
    }
    out[27] = '=';
    out[28] = 0;
}

/* ---- clients ---- */

static void admit(int fd)
{
    struct client *c = calloc(1, sizeof *c);
    if (client_count == client_room)
        clients = realloc(clients, (client_room = client_room ? 2 * client_room : 64) * sizeof *clients);
    if (c == NULL || clients == NULL)
        exit(1);
    c->fd = fd;
    c->index = client_count;
    clients[client_count++] = c;
}

static void drop(struct client *c)
{
    close(c->fd);
    clients[c->index] = clients[--client_count];
    clients[c->index]->index = c->index;
    free(c->partial);
    free(c);
}

static void send_all(int fd, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            data += sent, size -= sent;
        } else if (errno == EAGAIN) {
            struct pollfd full = {.fd = fd, .events = POLLOUT};
            poll(&full, 1, 1000);
        } else {
            return; /* gone: its own read says so */
        }
    }
}

static int shake_hands(struct client *c, char *head)
{
    char answer[200], accept[29], *target = strchr(head, ' '), *key = strcasestr(head, "\r\nSec-WebSocket-Key:");
    if (target == NULL || key == NULL)
        return -1;
    for (key += 20; *key == ' '; key++)
        ;
    c->topic = 14695981039346656037u; /* FNV-1a */
    for (target++; *target != ' ' && *target; target++)
        c->topic = (c->topic ^ (unsigned char)*target) * 1099511628211u;
    accept_value(key, accept);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    send_all(c->fd, (unsigned char *)answer, size);
    c->open = 1;
    return 0;
}

/* ---- frames (RFC 6455 section 5.2) ---- */

static void unmask(unsigned char *to, const unsigned char *from, size_t size, const unsigned char mask[4])
{
    uint64_t wide, word;
    memcpy(&wide, mask, 4);
    memcpy((char *)&wide + 4, mask, 4);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++)
        to[i] = from[i] ^ mask[i & 3];
}

/* Turn the complete client frames at `data` into server frames in `output`.
 * Returns how many bytes were used, or -1 when the client says goodbye. */
static ssize_t convert(const unsigned char *data, size_t size, size_t *made)
{
    size_t used = 0;
    while (size - used >= 6) {
        const unsigned char *p = data + used;
        uint64_t length = p[1] & 127;
        size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
        if ((p[0] & 15) == 8)
            return -1;
        if (size - used < 6 + extra)
            break;
        if (extra) {
            length = 0;
            for (size_t i = 0; i < extra; i++)
                length = length << 8 | p[2 + i];
        }
        if (length > READ_SIZE - HEAD_SIZE)
            return -1;
        if (size - used < 6 + extra + length)
            break;
        unsigned char *out = output + *made;
        memcpy(out, p, 2 + extra);
        out[1] &= 127;
        unmask(out + 2 + extra, p + 6 + extra, length, p + 2 + extra);
        *made += 2 + extra + length;
        used += 6 + extra + length;
    }
    return used;
}

static void relay(struct client *sender, size_t size)
{
    for (int i = 0; i < client_count; i++) {
        struct client *c = clients[i];
        if (c != sender && c->open && c->topic == sender->topic)
            send_all(c->fd, output, size);
    }
}

static int keep(struct client *c, const unsigned char *data, size_t size)
{
    free(c->partial);
    c->partial = NULL;
    c->kept = size;
    if (size == 0)
        return 0;
    if (size > READ_SIZE || (c->partial = malloc(size)) == NULL)
        return -1;
    memcpy(c->partial, data, size);
    return 0;
}

static int take(struct client *c)
{
    memcpy(input, c->partial, c->kept);
    ssize_t got = recv(c->fd, input + c->kept, READ_SIZE - 1, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -1;
    unsigned char *data = input;
    size_t size = c->kept + got, made = 0;
    if (!c->open) {
        data[size] = 0;
        char *end = strstr((char *)data, "\r\n\r\n");
        if (end == NULL)
            return size > HEAD_SIZE ? -1 : keep(c, data, size);
        if (shake_hands(c, (char *)data) < 0)
            return -1;
        size -= (unsigned char *)end + 4 - data;
        data = (unsigned char *)end + 4;
    }
    ssize_t used = convert(data, size, &made);
    if (made > 0)
        relay(c, made);
    return used < 0 ? -1 : keep(c, data + used, size - used);
}

int main(int argc, char **argv)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
    struct rlimit limit;
    if (argc != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    address.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0) {
        perror("floor");
        return 2;
    }
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event); /* data.ptr is NULL: the listener */
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            if (c != NULL) {
                if (take(c) < 0)
                    drop(c);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            admit(fd);
            event.data.ptr = clients[client_count - 1];
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
