/* SPDX-License-Identifier: MIT */
/*
 * Load on a server at a fixed rate: load redis|memcached|http PORT RATE [CONNECTIONS]. Requests are due at
 * fixed times, RATE a second; one that is due takes an idle connection or waits for one, and its latency
 * counts from the time it was due: a server that stands still pays for every request that it should have
 * answered meanwhile, not for one a connection only ("coordinated omission").
 *
 * Lines on stdin name the section that requests due from then on belong to; at the end of stdin a line a
 * section comes out, sections of one name put together:
 *     NAME seconds=… served=N failed=N p50_us=… p99_us=… p999_us=… longest_us=…
 * Failed: a wrong answer, a connection that the server closed, no answer within ten seconds.
 *
 * Latencies go into buckets of 1/64 of a power of two, so percentiles are exact to 1.6 % (longest is exact).
 * One thread.
 */
#define _GNU_SOURCE /* memmem, epoll_pwait2 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECTIONS    64
#define CONNECTIONS 256
#define SUB_BITS    6
#define BUCKETS	    ((64 - SUB_BITS + 1) << SUB_BITS)
#define PATIENCE_NS UINT64_C(10000000000)

struct protocol {
	const char *name;
	const char *request;
	/* The whole answer; or only how it begins and how it ends. */
	const char *answer, *end;
};

static const struct protocol protocols[] = {
	{"redis", "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "$7\r\ncontent\r\n", NULL},
	{"memcached", "get key\r\n", "VALUE key 0 7\r\ncontent\r\nEND\r\n", NULL},
	{"http", "GET /x.txt HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\ncontent"},
};

struct section {
	char name[64];
	uint64_t buckets[BUCKETS];
	uint64_t served, failed, longest_ns, spent_ns;
};

struct connection {
	int fd; /* -1: to be dialled again */
	bool busy;
	uint64_t due_ns; /* of the request that is on its way */
	int section;	 /* which it belongs to */
	size_t n;
	char answer[1024];
};

static const struct protocol *protocol;
static struct section sections[SECTIONS];
static int port, n_sections, current, n_connections, epoll;
static struct connection connections[CONNECTIONS];

/* Requests that are due and wait for a connection are told by number: request k is due at start + k *
 * interval. When a section began is kept by its first request. */
static uint64_t first_of[SECTIONS * 64];
static int section_of[SECTIONS * 64], n_spans;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Bucket of a latency: exact below 64 ns, then 64 a power of two. */
static size_t bucket(uint64_t ns)
{
	unsigned power = ns >> SUB_BITS ? 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS : 0;
	return ((size_t)power << SUB_BITS) + (size_t)(ns >> power);
}

/* The middle of a bucket. */
static double bucket_ns(size_t b)
{
	if (b < 2u << SUB_BITS)
		return (double)b;
	size_t power = (b >> SUB_BITS) - 1, place = (b & ((1u << SUB_BITS) - 1)) + (1u << SUB_BITS);
	return ((double)place + 0.5) * (double)(UINT64_C(1) << power);
}

static double percentile_us(const struct section *section, double p)
{
	uint64_t wanted = (uint64_t)(p * (double)section->served), seen = 0;
	for (size_t b = 0; b < BUCKETS; b++) {
		seen += section->buckets[b];
		if (seen > wanted)
			return bucket_ns(b) / 1000;
	}
	return (double)section->longest_ns / 1000;
}

static void served(int index, uint64_t ns)
{
	struct section *section = &sections[index];
	section->buckets[bucket(ns)]++;
	section->served++;
	if (ns > section->longest_ns)
		section->longest_ns = ns;
}

static bool dial(struct connection *c)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) ||
	    fcntl(c->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) {
		close(c->fd);
		c->fd = -1;
		return false;
	}
	return true;
}

static void failed(struct connection *c)
{
	if (c->busy)
		sections[c->section].failed++;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->busy = false;
}

static void ask(struct connection *c, uint64_t due_ns, int section)
{
	size_t length = strlen(protocol->request);
	c->busy = true;
	c->due_ns = due_ns;
	c->section = section;
	c->n = 0;
	if (c->fd < 0 && !dial(c))
		failed(c);
	else if (send(c->fd, protocol->request, length, MSG_NOSIGNAL) != (ssize_t)length)
		failed(c);
}

/* 1: whole and right; 0: more is to come; -1: wrong. */
static int judge(const struct connection *c)
{
	size_t length = strlen(protocol->answer), end = protocol->end ? strlen(protocol->end) : 0;
	if (memcmp(c->answer, protocol->answer, c->n < length ? c->n : length))
		return -1;
	if (c->n < length)
		return 0;
	if (!protocol->end)
		return c->n == length ? 1 : -1;
	if (c->n >= length + end && !memcmp(c->answer + c->n - end, protocol->end, end))
		return 1;
	return c->n == sizeof(c->answer) || memmem(c->answer, c->n, protocol->end, end) ? -1 : 0;
}

static void hear(struct connection *c)
{
	ssize_t r = recv(c->fd, c->answer + c->n, sizeof(c->answer) - c->n, 0);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* An end, or an answer that nobody asked for. */
	if (r <= 0 || !c->busy) {
		failed(c);
		return;
	}
	c->n += (size_t)r;
	int verdict = judge(c);
	if (verdict > 0) {
		served(c->section, now_ns() - c->due_ns);
		c->busy = false;
	} else if (verdict < 0) {
		failed(c);
	}
}

static struct connection *idle(void)
{
	for (int i = 0; i < n_connections; i++)
		if (!connections[i].busy)
			return &connections[i];
	return NULL;
}

static bool anybody_busy(void)
{
	for (int i = 0; i < n_connections; i++)
		if (connections[i].busy)
			return true;
	return false;
}

static void give_up(uint64_t now)
{
	for (int i = 0; i < n_connections; i++)
		if (connections[i].busy && now - connections[i].due_ns > PATIENCE_NS)
			failed(&connections[i]);
}

/* A name from stdin: requests from number k on belong to it. False at the end of stdin. */
static bool next_section(uint64_t k)
{
	char line[64];
	size_t n = 0;
	ssize_t r;
	while (n < sizeof(line) - 1 && (r = read(STDIN_FILENO, line + n, 1)) == 1 && line[n] != '\n')
		n++;
	if (!n)
		return false;
	line[n] = '\0';
	for (current = 0; current < n_sections && strcmp(sections[current].name, line);)
		current++;
	if (current == SECTIONS || n_spans == SECTIONS * 64) {
		fprintf(stderr, "load: too many sections\n");
		exit(1);
	}
	if (current == n_sections)
		memcpy(sections[n_sections++].name, line, n + 1);
	first_of[n_spans] = k;
	section_of[n_spans++] = current;
	return true;
}

static int section_for(uint64_t k)
{
	int i = n_spans - 1;
	while (i > 0 && first_of[i] > k)
		i--;
	return section_of[i];
}

static void run(uint64_t rate)
{
	uint64_t start = now_ns(), asked = 0, last = start, stop_ns = UINT64_MAX;
	for (;;) {
		/* Those that were due before stdin ended are still asked. */
		uint64_t now = now_ns(),
			 due = ((now < stop_ns ? now : stop_ns) - start) * rate / 1000000000u + 1;
		struct connection *c;
		bool more = now < stop_ns;
		if (more)
			sections[current].spent_ns += now - last;
		last = now;
		while (asked < due && (c = idle())) {
			ask(c, start + asked * 1000000000u / rate, section_for(asked));
			asked++;
		}
		if (!more && asked >= due && !anybody_busy())
			return;
		for (; !more && asked < due && now - stop_ns > PATIENCE_NS; asked++)
			sections[section_for(asked)].failed++;
		give_up(now);
		/* Until the next one is due; when it is, but no connection is idle, until one answers. */
		uint64_t next = start + asked * 1000000000u / rate, wait = PATIENCE_NS / 10;
		now = now_ns();
		if (more && asked >= due)
			wait = next > now ? next - now : 0;
		struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000u),
					   .tv_nsec = (long)(wait % 1000000000u)};
		struct epoll_event events[CONNECTIONS + 1];
		int n = epoll_pwait2(epoll, events, CONNECTIONS + 1, &timeout, NULL);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr) {
				hear(events[i].data.ptr);
			} else if (!next_section((now_ns() - start) * rate / 1000000000u + 1)) {
				stop_ns = now_ns();
				epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
			}
		}
	}
}

int main(int argc, char **argv)
{
	long rate = argc > 3 ? atol(argv[3]) : 0;
	struct epoll_event names = {.events = EPOLLIN};
	for (size_t i = 0; argc > 1 && i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (!strcmp(argv[1], protocols[i].name))
			protocol = &protocols[i];
	port = argc > 2 ? atoi(argv[2]) : 0;
	n_connections = argc > 4 ? atoi(argv[4]) : 16;
	if (!protocol || port < 1 || port > 65535 || rate < 1 || rate > 1000000 || n_connections < 1 ||
	    n_connections > CONNECTIONS) {
		fprintf(stderr,
			"usage: load redis|memcached|http PORT RATE [CONNECTIONS, at most %d] < names of "
			"sections\n",
			CONNECTIONS);
		return 2;
	}
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &names)) {
		fprintf(stderr, "load: stdin must be a pipe: %s\n", strerror(errno));
		return 1;
	}
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	for (int i = 0; i < n_connections; i++) {
		if (!dial(&connections[i])) {
			fprintf(stderr, "load: cannot connect: %s\n", strerror(errno));
			return 1;
		}
	}
	if (!next_section(0))
		return 0;
	run((uint64_t)rate);
	for (int i = 0; i < n_sections; i++) {
		const struct section *s = &sections[i];
		printf("%s seconds=%.3f served=%llu failed=%llu p50_us=%.1f p99_us=%.1f p999_us=%.1f "
		       "longest_us=%.1f\n",
		       s->name, (double)s->spent_ns / 1e9, (unsigned long long)s->served,
		       (unsigned long long)s->failed, percentile_us(s, 0.5), percentile_us(s, 0.99),
		       percentile_us(s, 0.999), (double)s->longest_ns / 1000);
	}
	return 0;
}
